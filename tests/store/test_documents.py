"""Rows that cannot be read are left out and named; those that earlier versions wrote are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from offhook.domain.call import Call

from offhook.app import end_open_calls
from offhook.domain import call as rules
from offhook.domain.ids import new_uuid
from offhook.store import schema
from offhook.store.calls import add_call, get_call, list_calls, open_calls
from offhook.store.documents import KINDS, decoded, unreadable_rows
from offhook.store.store import Store
from tests.store.conftest import rows

FIXTURES = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def call_of(customer: str) -> Call:
    return rules.incoming(new_uuid(), customer, caller="+1555", caller_name="", dialled="100", now=NOW).call


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_every_kind_reads_and_is_written_as_this_version_does(kind: str) -> None:
    golden = (FIXTURES / f"golden_{kind}.json").read_bytes().strip()
    assert msgspec.json.encode(decoded(kind, golden)) == golden


@pytest.mark.parametrize("damage", [b'{"status":"vanished"}', b"", b"\xff\x00", b'{"status": "dia'])
async def test_a_call_that_cannot_be_read_stops_no_start_and_hides_no_other(
    store: Store, customer: str, damage: bytes
) -> None:
    good, bad = call_of(customer), call_of(customer)
    for number, call in enumerate((good, bad)):
        await store.write(lambda tx, call=call, number=number: add_call(tx, call, f"channel {number}"))  # type: ignore[misc]
    spoil = sa.update(schema.calls).where(schema.calls.c.id == bad.id).values(document=damage)
    await store.write(lambda tx: tx.add_write(spoil))

    assert [stored.call for stored in await store.read(open_calls)] == [good]
    page = await store.read(lambda connection: list_calls(connection, customer, page_token="", page_size=10))
    assert page.result == [good]
    with pytest.raises(msgspec.DecodeError):
        await store.read(lambda connection: get_call(connection, customer, bad.id))
    (named,) = await store.read(lambda connection: list(unreadable_rows(connection)))
    assert (named.kind, named.id) == ("call", bad.id)

    await end_open_calls(store)
    assert await store.read(open_calls) == []
    assert rows(store, "SELECT count(*) FROM calls WHERE is_open") == [(1,)]
