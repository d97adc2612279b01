"""The HTTP request of one attempt: method, headers, signatures (contract, section 4)."""

from __future__ import annotations

from offhook.domain.delivery.delivery import Delivery, Destination
from offhook.domain.delivery.signature import Signer
from offhook.outbound.port import OutgoingRequest


class RequestWriter:
    """Writes the requests for one destination as it is now; made anew when its uri, method or secrets change."""

    def __init__(self, destination: Destination, user_agent: str) -> None:
        self._destination = destination
        self._user_agent = user_agent
        self._method = destination.method or "POST"
        self._signer = Signer(destination.secrets)
        self._signer_until_us = destination.old_secret_until_us

    def write(self, delivery: Delivery, payload: bytes, now_us: int) -> OutgoingRequest:
        """The request of the next attempt at `delivery`; `now_us` becomes `webhook-timestamp`."""
        timestamp = now_us // 1_000_000
        standard, own = self._signer_at(now_us).headers(delivery.event_id, timestamp, payload)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._user_agent,
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": standard,
            "X-VoIPBIN-Signature": own,
            "offhook-attempt": str(delivery.attempt_count + 1),
        }
        if delivery.subject:
            headers["offhook-subject"] = delivery.subject
            headers["offhook-sequence"] = str(delivery.sequence)
        if delivery.position:
            headers["offhook-position"] = str(delivery.position)
        return OutgoingRequest(self._method, self._destination.uri, headers, payload)

    def _signer_at(self, now_us: int) -> Signer:
        """An old secret signs beside the new one until its time is over, also if nothing else changes meanwhile."""
        if self._signer_until_us is not None and now_us >= self._signer_until_us:
            self._signer = Signer(self._destination.secrets[:1])
            self._signer_until_us = None
        return self._signer
