"""Store, sender and engine together, as the server composes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from offhook.delivery.engine import Engine, EngineSettings
from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.recorder import Recorder
from offhook.domain.delivery.delivery_log import LoggedAttempt, LoggedDelivery, LoggedStatus
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.delivery.signature import new_secret
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.ids import new_uuid
from offhook.node.service import Closing
from offhook.outbound.http import HttpSender
from offhook.store.database.database import Database
from offhook.store.queries import customers, destinations
from offhook.store.queries.deliveries import attempts_of_event, list_deliveries
from offhook.store.store import Store
from tests.databases import sqlite_database
from tests.running import Running

FAST = RetryPolicy(schedule=(timedelta(milliseconds=50),) * 60)
SETTINGS = EngineSettings(user_agent="Offhook/test", retry=FAST)


async def until(condition: Callable[[], object], what: str, timeout_s: float = 40.0) -> None:
    """Wait until `condition` holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.005)


class Node:
    """One node on one database; `restart` is what a graceful stop and a start do."""

    def __init__(
        self, path: Path, settings: EngineSettings = SETTINGS, timeout_s: float = 5.0, database_url: str = ""
    ) -> None:
        self.database_url = database_url or sqlite_database(path / "offhook.db")
        self.settings = settings
        self.timeout_s = timeout_s
        self.registry = CollectorRegistry()
        self.running = Running()

    async def start(self) -> None:
        self.store = await self.running.add(Store(Database(self.database_url)))
        self.sender = HttpSender(
            NetworkPolicy(allow_loopback=True),
            timeout=timedelta(seconds=self.timeout_s),
            max_connections=self.settings.max_in_flight,
        )
        self.registry = CollectorRegistry()
        await self.running.add(Closing("sender", self.sender.close))
        self.recorder = await self.running.add(Recorder(self.store, self.settings.drain_time))
        metrics = DeliveryMetrics(self.registry)
        self.engine = await self.running.add(Engine(self.store, self.recorder, self.sender, self.settings, metrics))

    async def stop(self) -> None:
        await self.running.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def use(self, **changes: Any) -> None:
        """Other settings, from the next start on."""
        self.settings = msgspec.structs.replace(self.settings, **changes)

    async def new_customer(self, uri: str = "", method: str = "POST") -> str:
        customer_id = new_uuid()
        await self.store.write(lambda tx: customers.add_customer(tx, customer_id, new_secret(), {}))
        if uri:
            await self.point(customer_id, uri, method)
        return customer_id

    async def point(self, customer_id: str, uri: str, method: str = "POST") -> None:
        """What PUT /v1.0/customer does."""
        await self.store.write(lambda tx: destinations.set_webhook(tx, customer_id, uri=uri, method=method))

    async def publish(self, customer_id: str, subjects: Sequence[str], data: bytes = b'{"n":1}') -> list[str]:
        """One event for each of `subjects`, in one change."""
        payload = envelope("call_updated", data)
        return await self.store.write(
            lambda tx: [tx.add_event(NewEvent(customer_id, "call_updated", subject, payload)) for subject in subjects]
        )

    async def deliveries(self, customer_id: str, status: str | None = None) -> list[LoggedDelivery]:
        """All of them, newest first."""
        rows: list[LoggedDelivery] = []
        wanted = None if status is None else LoggedStatus(status)
        place: int | None = None
        while True:
            page = partial(list_deliveries, customer_id=customer_id, status=wanted, before=place, page_size=100_000)
            found, place = await self.store.read(page)
            rows += found
            if place is None:
                return rows

    async def attempts(self, customer_id: str, event_id: str) -> list[LoggedAttempt]:
        return await self.store.read(lambda connection: attempts_of_event(connection, customer_id, event_id))

    async def held_reason(self, customer_id: str) -> str:
        webhook = await self.store.read(lambda connection: destinations.webhook_of(connection, customer_id))
        return webhook.held_reason

    async def pending_count(self) -> int:
        query = sa.text("SELECT count(*) FROM deliveries WHERE status = 0")
        return int(await self.store.read(lambda connection: connection.execute(query).scalar_one()))

    async def until_written(self, timeout_s: float = 40.0) -> None:
        """Wait until nothing is pending in the database."""
        deadline_s = time.monotonic() + timeout_s
        while await self.pending_count():
            assert time.monotonic() < deadline_s, f"{await self.pending_count()} still pending"
            await asyncio.sleep(0.01)
