"""Sending one sample event now, to see whether a webhook works."""

from __future__ import annotations

import time

import msgspec

from offhook.delivery.requests import RequestWriter
from offhook.domain.catalogue import event_type, subject_of
from offhook.domain.delivery.delivery import Delivery, Destination, check_is_on
from offhook.domain.delivery.delivery_log import LoggedAttempt
from offhook.domain.events.event import envelope
from offhook.domain.ids import new_event_id
from offhook.outbound.port import HeaderFields, OutgoingRequest, Sender
from offhook.store.queries.destinations import webhook_of
from offhook.store.store import Store


class SampleSender:
    """Sends sample events. They are signed like any other, and are no part of the log: no position, no retry."""

    def __init__(self, store: Store, sender: Sender, user_agent: str) -> None:
        self._store = store
        self._sender = sender
        self._user_agent = user_agent

    async def send_test(self, customer_id: str, name: str) -> LoggedAttempt:
        """What came of one attempt, also if the webhook is disabled. Raises ConflictError, InvalidError (type)."""
        kind = event_type(name)
        webhook = await self._store.read(lambda connection: webhook_of(connection, customer_id))
        check_is_on(webhook)
        data = kind.sample["data"]
        request = self._request(webhook, subject_of(name, data) or "", envelope(name, msgspec.json.encode(data)))
        started_us = time.time_ns() // 1000
        result = await self._sender.send(request)
        return LoggedAttempt(
            number=1,
            activeflow_id="",
            uri=webhook.uri,
            outcome=result.outcome.value,
            status_code=result.status_code,
            latency_ms=result.latency_ms,
            response=result.response,
            started_us=started_us,
            detail=result.detail,
        )

    def _request(self, webhook: Destination, subject: str, payload: bytes) -> OutgoingRequest:
        now_us = time.time_ns() // 1000
        delivery = Delivery(
            key=0,
            destination_key=webhook.key,
            event_id=new_event_id(),
            subject="",
            sequence=None,
            position=0,
            payload=payload,
            family="",
            created_us=now_us,
            due_us=now_us,
        )
        request = RequestWriter(webhook, self._user_agent).write(delivery, payload, now_us)
        headers = {**request.headers.as_dict(), "offhook-subject": subject, "offhook-test": "true"}
        return msgspec.structs.replace(request, headers=HeaderFields.of(headers))
