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

from offhook.domain.call import Call
from offhook.domain.ids import new_uuid
from offhook.domain.signature import new_secret
from offhook.store.calls import list_calls
from offhook.store.customers import add_customer, oldest_active_customer
from offhook.store.database import Database, sqlite_url
from offhook.store.store import Store
from offhook.store.transaction import Committed, Transaction
from offhook.switch.asterisk.ari import AriEndpoint
from offhook.switch.asterisk.switch import AsteriskSwitch
from offhook.telephony.calls import CallService
from offhook.telephony.live_call import CallSettings
from tests.running import Running
from tests.sipp.switches import SharedAsterisk, eventually

QUICK = CallSettings(ring_time=timedelta(seconds=0.3))
PATIENT = CallSettings(ring_time=timedelta(seconds=30))


@pytest.fixture(scope="session")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedAsterisk]:
    shared = SharedAsterisk(tmp_path_factory.mktemp("shared") / "asterisk")
    yield shared
    shared.stop()


class Node:
    """What one server would run, on a database that a later one may open again."""

    def __init__(
        self, store: Store, switch: AsteriskSwitch, calls: CallService, customer_id: str, running: Running
    ) -> None:
        self.store = store
        self.switch = switch
        self.calls = calls
        self.customer_id = customer_id
        self.running = running
        self.events: list[tuple[str, dict[str, Any]]] = []
        store.subscribe(self._note)

    def types(self, call_id: str = "") -> list[str]:
        """The types of the events so far, of one call or of all."""
        return [type_ for type_, data in self.events if call_id in ("", data["id"])]

    def last(self, type_: str) -> dict[str, Any]:
        """What the last event of a type said."""
        return next(data for name, data in reversed(self.events) if name == type_)

    async def saw(self, type_: str, count: int = 1, timeout_s: float = 15) -> dict[str, Any]:
        """Wait for the event; what it said."""
        await eventually(lambda: self.types().count(type_) >= count, f"{count} {type_}: {self.types()}", timeout_s)
        return self.last(type_)

    async def all_calls(self) -> list[Call]:
        """What REST would list, newest first."""
        page = await self.store.read(
            lambda connection: list_calls(connection, self.customer_id, page_token="", page_size=100)
        )
        return page.result

    def _note(self, committed: Committed) -> None:
        for event in committed.events:
            envelope = msgspec.json.decode(event.payload)
            assert envelope["type"] == event.type
            assert event.subject == f"call/{envelope['data']['id']}"
            self.events.append((event.type, envelope["data"]))


@contextlib.asynccontextmanager
async def running_node(
    database: Path, endpoint: AriEndpoint, settings: CallSettings = QUICK, *, takes_calls: bool = True
) -> AsyncIterator[Node]:
    """A node that is connected. It ends gracefully, unless the test has killed it (see `die`)."""
    running = Running()
    store = await running.add(Store(Database(sqlite_url(database))))
    customer_id = await store.read(_first_customer) or new_uuid()

    def create(tx: Transaction) -> None:
        if _first_customer(tx.reader) is None:
            add_customer(tx, customer_id, new_secret(), {})

    await store.write(create)

    async def owner_of_number(_: str) -> str | None:
        return customer_id if takes_calls else None

    switch = AsteriskSwitch(endpoint)
    calls = CallService(store, switch, owner_of_number, settings)
    node = Node(store, switch, calls, customer_id, running)
    await running.add(switch)
    await running.add(calls)
    try:
        await eventually(lambda: switch.is_connected, "the switch is connected")
        yield node
    finally:
        await running.stop()


async def die(node: Node) -> None:
    """End as by kill -9: nothing is said to the switch, nothing more is written."""
    node.switch.listen(lambda _: None)
    await node.running.abandon(node.calls)
    await node.running.abandon(node.switch)


def _first_customer(connection: sa.Connection) -> str | None:
    return oldest_active_customer(connection)
