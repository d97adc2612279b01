"""Calls that earlier versions kept live on after the upgrade, and end as they should."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.command
import msgspec
import pytest
import sqlalchemy as sa

from offhook.domain.delivery.signature import new_secret
from offhook.domain.events.event import data_of
from offhook.domain.inputs.call import HangUpAsked, Lost, Present
from offhook.domain.step import Absent, Done, Due, Ended, Outcome, Tell
from offhook.domain.switch.commands import Find, HangUp, SwitchCommand
from offhook.domain.switch.inputs import ChannelGone
from offhook.domain.times import to_us
from offhook.store.commit.committed import Committed
from offhook.store.commit.port import Row
from offhook.store.commit.rows import Wanted
from offhook.store.commit.unit import Unit
from offhook.store.database.database import Database, _alembic_config
from offhook.store.queries import customers
from offhook.store.store import Store
from offhook.telephony.nouns import NOUNS
from tests.store.conftest import rows

# As the last version before wrote it.
CALL = (Path(__file__).parent / "fixtures" / "call_before_0005.json").read_bytes().strip()
CUSTOMER = msgspec.json.decode(CALL)["customer_id"]
CREATED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
UPDATED = datetime(2026, 3, 2, 9, 0, 2, 500_000, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
STATUSES = ("dialing", "ringing", "progressing", "terminating", "hangup")


def call_id(status: str) -> str:
    return f"00000000-0000-4000-8000-{STATUSES.index(status):012}"


def old_document(status: str) -> bytes:
    was_up = {} if status in ("progressing", "terminating", "hangup") else {"tm_progressing": None}
    return msgspec.json.encode({**msgspec.json.decode(CALL), "id": call_id(status), "status": status, **was_up})


def old_rows() -> list[dict[str, Any]]:
    found = [
        {
            "id": call_id(status),
            "is_open": status != "hangup",
            "channel_id": f"channel {status}",
            "document": old_document(status),
            "tm_update": None if status == "dialing" else to_us(UPDATED),
        }
        for status in STATUSES
    ]
    found += [
        {"id": "damaged", "is_open": True, "channel_id": "x", "document": b'{"status":"hang', "tm_update": 5},
        {"id": "vanished", "is_open": True, "channel_id": "y", "document": b'{"status":"vanished"}', "tm_update": 5},
    ]
    shared = {"customer_id": CUSTOMER, "tm_create": to_us(CREATED)}
    return [{"key": 7 + number, **shared, **row} for number, row in enumerate(found)]


@pytest.fixture
async def upgraded(empty_url: str) -> Any:
    database = Database(empty_url)
    with database.writer.begin() as connection:
        alembic.command.upgrade(_alembic_config(connection), "0004")
        columns = ("key", "id", "customer_id", "is_open", "channel_id", "document", "tm_create", "tm_update")
        table = sa.table("calls", *map(sa.column, columns))
        connection.execute(sa.insert(table), old_rows())
        block = sa.table("key_blocks", sa.column("name"), sa.column("next_key"))
        connection.execute(sa.insert(block).values(name="calls", next_key=10_001))
    database.close()
    store = Store(Database(empty_url), NOUNS, SwitchCommand)
    await store.start()
    await store.write(lambda tx: customers.add_customer(tx, CUSTOMER, new_secret(), {}))
    yield store
    await store.stop()


async def test_nothing_of_them_is_lost_and_the_open_ones_are_open(upgraded: Store) -> None:
    tables = upgraded.tables

    def look(connection: sa.Connection) -> tuple[list[Row], list[Any], list[Any]]:
        page = tables.page(connection, "call", CUSTOMER, Wanted(10))
        return tables.open(connection), page.found, list(tables.unreadable(connection))

    opened, listed, unreadable = await upgraded.read(look)
    assert [row.document.state.call.status for row in opened] == ["dialing", "ringing", "progressing", "terminating"]
    for state in listed:
        call = state.call
        old = msgspec.json.decode(old_document(call.status))
        # Fields that came later have their defaults.
        assert msgspec.to_builtins(call) == {**old, "action": {**old["action"], "error": ""}}
        assert (state.switch, state.channel_id) == ("asterisk", f"channel {call.status}")
        assert state.is_up == (call.status in ("progressing", "terminating", "hangup"))
    assert [state.call.status for state in listed] == list(reversed(STATUSES))
    assert sorted(row.id for row in unreadable) == ["damaged", "vanished"]
    assert [row.document.last_at for row in opened] == [CREATED, UPDATED, UPDATED, UPDATED]
    assert rows(upgraded, "SELECT id FROM calls WHERE is_final") == [(call_id("hangup"),)]
    due = await upgraded.read(lambda connection: tables.due(connection, NOW))
    assert {row.id: dict(row.document.timers) for row in due} == {
        row.id: {"ask": row.document.last_at} for row in opened
    }


HEARD: dict[str, tuple[Any, ...]] = {
    "gone": (),
    "lost": (Lost(),),
    "hang up": (HangUpAsked(),),
    "present": (Present(is_up=True),),
}
"""What is heard before the end of the channel."""


def expected(status: str, heard: str) -> list[str]:
    if status == "hangup":
        return []
    if heard == "hang up" and status != "terminating":
        return ["call_updated", "call_hungup"]
    if heard == "present" and status in ("dialing", "ringing"):
        return ["call_answered", "call_hungup"]
    return ["call_hungup"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("heard", HEARD)
async def test_each_ends_as_it_should_whatever_is_heard_first(upgraded: Store, status: str, heard: str) -> None:
    told: list[Committed] = []
    upgraded.subscribe(told.append)
    for one in (*HEARD[heard], ChannelGone("asterisk", f"channel {status}", 16)):
        await tell(upgraded, status, one)
    await check_over(upgraded, status)
    events = [event for commit in told for event in commit.events]
    assert [event.type for event in events] == expected(status, heard)
    for event in events:
        assert event.subject == f"call/{call_id(status)}"
        assert msgspec.json.decode(data_of(event.type, event.payload))["id"] == call_id(status)
    assert rows(upgraded, "SELECT count(*) FROM activeflows") == [(0,)]


@pytest.mark.parametrize("status", STATUSES[:-1])
async def test_one_whose_channel_is_gone_ends_by_itself(upgraded: Store, status: str) -> None:
    told: list[Committed] = []
    upgraded.subscribe(told.append)

    async def ends(kind: type[SwitchCommand], outcome: Outcome) -> None:
        newest_first = [order.pending.command for commit in reversed(told) for order in commit.orders]
        await tell(upgraded, status, Ended(next(one for one in newest_first if isinstance(one, kind)), outcome))

    await tell(upgraded, status, Due("ask", CREATED if status == "dialing" else UPDATED))
    if status == "terminating":
        # It is still there, and is told to go once more.
        await ends(Find, Done())
        await ends(HangUp, Absent("channel"))
        # Asterisk says so a moment before it is gone: it is asked for a little later.
        (row,) = [row for row in await upgraded.read(upgraded.tables.open) if row.id == call_id(status)]
        await tell(upgraded, status, Due("ask", row.document.timers["ask"]))
    await ends(Find, Absent("channel"))
    await check_over(upgraded, status)


async def tell(store: Store, status: str, told: Any) -> None:
    (result,) = await store.apply([Unit((Tell("call", call_id(status), told),), NOW)])
    assert result.is_done
    assert not result.faults


async def check_over(store: Store, status: str) -> None:
    tables = store.tables
    state = await store.read(lambda connection: tables.get(connection, "call", CUSTOMER, call_id(status)))
    assert state.call.status == "hangup"
