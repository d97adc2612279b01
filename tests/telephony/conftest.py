"""A node's telephony on a real Asterisk: store, switch and calls, without web and delivery."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from offhook.domain.catalogue.call import Call
from offhook.domain.catalogue.fields import Action
from offhook.domain.delivery.signature import new_secret
from offhook.domain.ids import NIL_UUID, new_uuid
from offhook.domain.switch.commands import ToSwitch
from offhook.flows.greeting import greeting
from offhook.node.service import Service
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.store.commit.committed import Committed
from offhook.store.commit.rows import Wanted
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database
from offhook.store.queries.customers import add_customer, oldest_active_customer
from offhook.store.store import Store
from offhook.switch.asterisk.ari import AriEndpoint
from offhook.switch.asterisk.switch import AsteriskSwitch
from offhook.telephony.calls import CallService
from offhook.telephony.nouns import COMMAND_TYPE, NOUNS, waits_for
from offhook.telephony.numbers import NoRoute, Route
from offhook.telephony.settings import CallSettings
from tests.databases import sqlite_database
from tests.running import Running
from tests.sipp.switches import SharedAsterisk, eventually

QUICK = greeting(timedelta(seconds=0.3), "hello-world")
PATIENT = greeting(timedelta(seconds=30), "hello-world")


@pytest.fixture(scope="session")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedAsterisk]:
    shared = SharedAsterisk(tmp_path_factory.mktemp("shared") / "asterisk")
    yield shared
    shared.stop()


class Node:
    """What one server would run, on a database that a later one may open again."""

    def __init__(
        self, store: Store, endpoint: AriEndpoint, customer_id: str, running: Running, actions: tuple[Action, ...]
    ) -> None:
        self.store = store
        self.customer_id = customer_id
        self.running = running
        self.actions = actions
        self.takes_calls = True
        self.events: list[tuple[str, dict[str, Any]]] = []
        """Those of calls: type and data."""
        self.flow_events: list[tuple[str, dict[str, Any]]] = []
        store.subscribe(self._note)
        self.runner = Runner(store)
        self.lanes = Lanes(store, self.runner)
        self.timers = Timers(store, self.runner, waits_for)
        self.switch = AsteriskSwitch(endpoint, store.now)

    async def start(self, settings: CallSettings) -> None:
        self.calls = CallService(
            self.store, self.runner, self.lanes, self.timers, self.switch, self._route_of, settings
        )
        self.lanes.register(ToSwitch, self.switch)
        for service in self.services:
            await self.running.add(service)

    @property
    def services(self) -> list[Service]:
        """In the order of their start, without the store."""
        return [self.runner, self.lanes, self.timers, self.switch, self.calls]

    def types(self, call_id: str = "") -> list[str]:
        """The types of the events so far, of one call or of all."""
        return [type_ for type_, data in self.events if call_id in ("", data["id"])]

    def last(self, type_: str) -> dict[str, Any]:
        """What the last event of a type said."""
        return next(data for name, data in reversed(self.events) if name == type_)

    async def saw(self, type_: str, count: int = 1, timeout_s: float = 40) -> dict[str, Any]:
        """Wait for the event; what it said."""
        await eventually(lambda: self.types().count(type_) >= count, f"{count} {type_}: {self.types()}", timeout_s)
        return self.last(type_)

    def flow_types(self, activeflow_id: str = "") -> list[str]:
        """The same of activeflows."""
        return [type_ for type_, data in self.flow_events if activeflow_id in ("", data["id"])]

    async def all_calls(self) -> list[Call]:
        """What REST would list, newest first."""
        page = await self.store.read(
            lambda connection: self.store.tables.page(connection, "call", self.customer_id, Wanted(100))
        )
        return [state.call for state in page.found]

    async def _route_of(self, dialled: str) -> Route | NoRoute:
        # As for any number, the database is asked.
        await self.store.read(_first_customer)
        if not self.takes_calls:
            return NoRoute("nobody has this number")
        return Route(dialled, self.customer_id, NIL_UUID, self.actions)

    def _note(self, committed: Committed) -> None:
        for event in committed.events:
            envelope = msgspec.json.decode(event.payload)
            assert envelope["type"] == event.type
            kind, _, named = event.subject.partition("/")
            assert named == envelope["data"]["id"]
            (self.events if kind == "call" else self.flow_events).append((event.type, envelope["data"]))


@contextlib.asynccontextmanager
async def running_node(
    database: Path | str,
    endpoint: AriEndpoint,
    actions: tuple[Action, ...] = QUICK,
    *,
    settings: CallSettings | None = None,
    takes_calls: bool = True,
) -> AsyncIterator[Node]:
    """A node that is connected, on a file or a URL. It ends gracefully, unless the test has killed it (see `die`)."""
    running = Running()
    url = database if isinstance(database, str) else sqlite_database(database)
    store = await running.add(Store(Database(url), NOUNS, COMMAND_TYPE))
    customer_id = await store.read(_first_customer) or new_uuid()

    def create(tx: Transaction) -> None:
        if _first_customer(tx.reader) is None:
            add_customer(tx, customer_id, new_secret(), {})

    await store.write(create)

    node = Node(store, endpoint, customer_id, running, actions)
    node.takes_calls = takes_calls
    await node.start(settings or CallSettings())
    try:
        await eventually(lambda: node.switch.is_connected, "the switch is connected")
        yield node
    finally:
        await running.stop()


async def die(node: Node) -> None:
    """End as by kill -9: nothing is said to the switch, nothing more is written."""
    for service in reversed(node.services):
        await node.running.abandon(service)


def _first_customer(connection: sa.Connection) -> str | None:
    return oldest_active_customer(connection)
