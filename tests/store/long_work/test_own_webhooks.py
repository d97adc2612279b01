"""A further address of an execution goes when the execution is over and nothing of what was sent to it is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from offhook.delivery.finishing import finish_cancelling
from offhook.delivery.retention import Retention
from offhook.domain.catalogue.fields import Action
from offhook.domain.delivery.delivery import Destination
from offhook.domain.delivery.signature import new_secret
from offhook.domain.ids import NIL_UUID, new_uuid
from offhook.domain.inputs import activeflow
from offhook.domain.step import Tell
from offhook.node.clock import SteadyClock
from offhook.store import schema
from offhook.store.commit.destination_rows import SELECT, destination_of
from offhook.store.commit.transaction import Transaction
from offhook.store.commit.unit import Unit
from offhook.store.database.database import Database
from offhook.store.queries import destinations
from offhook.store.queries.customers import add_customer
from offhook.store.store import Store
from offhook.telephony.nouns import COMMAND_TYPE, NOUNS
from tests.store.conftest import rows
from tests.store.queries.test_destinations import record

BLOCK = (Action(id=new_uuid(), type="block", option={}, tm_execute=None),)
FIVE_DAYS_US = timedelta(days=5) // timedelta(microseconds=1)
PENDING = "SELECT key FROM deliveries WHERE status = 0"


@pytest.fixture
async def store(empty_url: str) -> AsyncIterator[Store]:
    store = Store(Database(empty_url), NOUNS, COMMAND_TYPE)
    await store.start()
    yield store
    await store.stop()


async def begun(store: Store) -> str:
    """An execution, of a customer whose own webhook is off; it has sent one event."""
    customer_id, row_id = new_uuid(), new_uuid()
    await store.write(lambda tx: add_customer(tx, customer_id, new_secret(), {}))
    start = activeflow.Start(
        row_id, customer_id, NIL_UUID, BLOCK, webhook_uri="http://127.0.0.1:9/", webhook_method="POST"
    )
    await tell(store, row_id, start)
    return row_id


async def tell(store: Store, row_id: str, told: activeflow.Start | activeflow.StopAsked) -> None:
    (result,) = await store.apply([Unit((Tell("activeflow", row_id, told),), store.now())])
    assert result.is_done


async def webhook(store: Store) -> Destination:
    found = await store.read(
        lambda connection: connection.execute(SELECT.where(schema.destinations.c.activeflow_id != "")).all()
    )
    return destination_of(found[0])


async def deliver(store: Store) -> None:
    own = await webhook(store)
    keys = [row[0] for row in rows(store, PENDING)]

    def change(tx: Transaction) -> None:
        for key in keys:
            tx.record(record(key, own, status="succeeded"))

    await store.write(change)


def kept(store: Store) -> tuple[int, int, int]:
    """How many further addresses there are, uris of theirs, and rows of totals."""
    tables = ("destinations WHERE activeflow_id <> ''", "uris", "destination_totals")
    one, two, three = (rows(store, f"SELECT count(*) FROM {table}")[0][0] for table in tables)
    return one, two, three


def later(store: Store, span_us: int) -> None:
    store.clock = SteadyClock(store.clock.now_us() + span_us)


async def test_it_stays_while_the_execution_runs_something_is_pending_or_its_deliveries_are_there(store: Store) -> None:
    row_id = await begun(store)
    keep, forget = Retention(store, timedelta(days=30), {}), Retention(store, timedelta(), {})
    await deliver(store)
    await forget.prune()
    assert kept(store) == (1, 1, 1)
    await tell(store, row_id, activeflow.StopAsked())
    await forget.prune()
    assert kept(store) == (1, 1, 1)
    await deliver(store)
    await keep.prune()
    assert kept(store) == (1, 1, 1)
    later(store, 1_000)
    await forget.prune()
    assert kept(store) == (0, 0, 0)


async def test_what_it_holds_is_cancelled_once_nobody_can_enable_it(store: Store) -> None:
    row_id = await begun(store)
    retention = Retention(store, timedelta(days=30), {})
    own = await webhook(store)
    await store.write(lambda tx: destinations.disable(tx, own.key, "gone", uri_key=own.uri_key))
    later(store, FIVE_DAYS_US + 1)
    await retention.prune()
    # The execution runs.
    assert (await webhook(store)).held_reason == "gone"
    await tell(store, row_id, activeflow.StopAsked())
    assert len(rows(store, PENDING)) == 3
    await retention.prune()
    await finish_cancelling(store)
    assert rows(store, PENDING) == []
    assert (await webhook(store)).held_reason == "off"
