"""Carries out what flows send to their customers' addresses: the same sender, signatures and policy as for webhooks."""

from __future__ import annotations

import time

import structlog

from offhook.domain.delivery.outcome_words import words_of
from offhook.domain.delivery.signature import Signer
from offhook.domain.errors import UnavailableError
from offhook.domain.step import Answered, Outcome, Refused, Unavailable, Unknown
from offhook.domain.web_request import WebRequest
from offhook.outbound.port import HeaderFields, OutgoingRequest, Sender
from offhook.store.queries.destinations import webhook_of
from offhook.store.store import Store

log = structlog.get_logger()


class WebRequests:
    """A carrier. Each is one attempt, within the sender's deadline."""

    def __init__(self, store: Store, sender: Sender, user_agent: str) -> None:
        self._store = store
        self._sender = sender
        self._user_agent = user_agent

    async def carry_out(self, command: WebRequest) -> Outcome:
        """Send it. `Refused` says in a sentence why no answer came."""
        try:
            customer = await self._store.read(lambda connection: webhook_of(connection, command.customer_id))
        except UnavailableError:
            return Unavailable(is_undone=True)
        now_us = time.time_ns() // 1000
        is_old_secret_over = customer.old_secret_until_us is not None and now_us >= customer.old_secret_until_us
        body = command.body.encode(errors="replace")
        timestamp = now_us // 1_000_000
        signer = Signer(customer.secrets[:1] if is_old_secret_over else customer.secrets)
        standard, own = signer.headers(command.id, timestamp, body)
        headers = {
            "Content-Type": command.content_type,
            "User-Agent": self._user_agent,
            "webhook-id": command.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": standard,
            "X-VoIPBIN-Signature": own,
        }
        request = OutgoingRequest(
            command.method, command.uri, HeaderFields.of(headers), body, kept_bytes=command.longest_answer
        )
        result = await self._sender.send(request)
        log.info(
            "flow.request",
            activeflow_id=command.activeflow_id,
            outcome=result.outcome.value,
            status_code=result.status_code,
            latency_ms=result.latency_ms,
        )
        if result.status_code is None:
            return Refused(words_of(result.outcome, None, result.detail).sentence)
        return Answered(result.status_code, result.response, result.is_whole)

    async def look(self, command: WebRequest) -> Outcome:
        """It is repeated, never looked for."""
        del command
        return Unknown()
