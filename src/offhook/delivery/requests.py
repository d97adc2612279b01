"""The HTTP request of one attempt: method, headers, signatures (contract, section 4)."""

from __future__ import annotations

from offhook.domain.delivery.delivery import Delivery, Destination
from offhook.domain.delivery.signature import Signer
from offhook.outbound.port import HeaderFields, OutgoingRequest


class RequestWriter:
    """Writes the requests for one destination as it is now; made anew when its uri, method or secrets change."""

    def __init__(self, destination: Destination, user_agent: str) -> None:
        self._destination = destination
        self._first_lines = f"Content-Type: application/json\r\nUser-Agent: {user_agent}\r\nwebhook-id: "
        self._method = destination.method or "POST"
        self._signer = Signer(destination.secrets)
        self._signer_until_us = destination.old_secret_until_us

    def write(self, delivery: Delivery, payload: bytes, now_us: int) -> OutgoingRequest:
        """The request of the next attempt at `delivery`; `now_us` becomes `webhook-timestamp`."""
        timestamp = now_us // 1_000_000
        standard, own = self._signer_at(now_us).headers(delivery.event_id, timestamp, payload)
        lines = (
            f"{self._first_lines}{delivery.event_id}\r\nwebhook-timestamp: {timestamp}\r\n"
            f"webhook-signature: {standard}\r\nX-VoIPBIN-Signature: {own}\r\n"
            f"offhook-attempt: {delivery.attempt_count + 1}\r\n"
        )
        count = 7
        if delivery.subject:
            lines += f"offhook-subject: {delivery.subject}\r\noffhook-sequence: {delivery.sequence}\r\n"
            count += 2
        if delivery.position:
            lines += f"offhook-position: {delivery.position}\r\n"
            count += 1
        return OutgoingRequest(self._method, self._destination.uri, HeaderFields(lines, count), payload)

    def _signer_at(self, now_us: int) -> Signer:
        """An old secret signs beside the new one until its time is over, also if nothing else changes meanwhile."""
        if self._signer_until_us is not None and now_us >= self._signer_until_us:
            self._signer = Signer(self._destination.secrets[:1])
            self._signer_until_us = None
        return self._signer
