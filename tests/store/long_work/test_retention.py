"""What is old goes, in small steps; what lives stays; nothing is looked at again and again."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from offhook.delivery.publishing import publish as accept
from offhook.delivery.retention import Retention
from offhook.domain.ids import new_uuid
from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import destinations
from offhook.store.queries.backlog import START, load_due
from offhook.store.queries.deliveries import attempts_of_event
from offhook.store.queries.events import list_events
from offhook.store.store import Store
from tests.store.commit.test_group_commit import publish
from tests.store.conftest import URI, new_customer, rows
from tests.store.queries.test_destinations import record, statuses

FAR = 2**60
NOTHING = timedelta()
DAY_US = 86_400 * 1_000_000


def keeping(store: Store, keep: timedelta = NOTHING, **by_family: timedelta) -> Retention:
    return Retention(store, keep, by_family)


async def positions(store: Store, customer: str) -> list[tuple[int, int | None]]:
    found, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    return [(event.position, event.sequence) for event in found]


async def deliver(store: Store, customer: str, status: str = "succeeded", **values: int) -> None:
    """Let every delivery that is due end."""
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    due = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=10_000))

    def change(tx: Transaction) -> None:
        for delivery in due:
            tx.record(record(delivery.key, webhook, status=status, **values))

    await store.write(change)


async def later(store: Store, days: int) -> None:
    """As if a silent subject had been silent for that long."""
    await store.write(
        lambda tx: tx.connection.exec_driver_sql(f"UPDATE subjects SET forget_at = forget_at - {days * DAY_US}")
    )


async def test_old_events_are_forgotten_and_pending_ones_are_kept_until_they_are_delivered(
    store: Store, customer: str
) -> None:
    await publish(store, customer, 2)
    await deliver(store, customer)
    await publish(store, customer)
    assert await keeping(store, timedelta(days=30)).prune() == 0
    assert await keeping(store, order=timedelta(days=30)).prune() == 0
    retention = keeping(store)
    assert await retention.prune() == 2
    assert await positions(store, customer) == [(3, 3)]
    assert await retention.prune() == 0
    await deliver(store, customer)
    assert await retention.prune() == 1
    assert await positions(store, customer) == []
    assert rows(store, "SELECT count(*) FROM overdue_events")[0][0] == 0


async def test_the_sequence_of_a_live_call_goes_on_however_short_the_retention(store: Store) -> None:
    customer = await new_customer(store, uri="")
    call_id = await add_row(store, "call", customer)
    await publish(store, customer, 2, subject=f"call/{call_id}")
    retention = keeping(store)
    assert await retention.prune() == 2
    await later(store, 31)
    await retention.prune()
    await publish(store, customer, subject=f"call/{call_id}")
    assert await positions(store, customer) == [(3, 3)]


async def add_row(store: Store, kind: str, customer: str) -> str:
    """A row of that kind that is open; its id."""
    table, row_id = schema.metadata.tables[f"{kind}s"], new_uuid()

    def change(tx: Transaction) -> None:
        shared = {"version": 1, "is_open": True, "is_final": False, "document": b"", "tm_create": 1, "tm_update": 1}
        tx.add_write(sa.insert(table).values(key=tx.next_key(table.name), id=row_id, customer_id=customer, **shared))

    await store.write(change)
    return row_id


@pytest.mark.parametrize("kind", ["call", "activeflow"])
async def test_what_lived_and_is_over_goes_with_its_last_event(store: Store, kind: str) -> None:
    customer, other = await new_customer(store, uri=""), await new_customer(store, uri="")
    over, live = await add_row(store, kind, customer), await add_row(store, kind, customer)
    for of, by in ((over, customer), (live, customer), (live, other)):
        await publish(store, by, 2, subject=f"{kind}/{of}")
    table = schema.metadata.tables[f"{kind}s"]
    end = sa.update(table).where(table.c.id == over).values(is_open=False, is_final=True)
    await store.write(lambda tx: tx.add_write(end))
    assert await keeping(store).prune() == 6
    assert rows(store, f"SELECT id FROM {kind}s") == [(live,)]
    assert {row[0] for row in rows(store, "SELECT subject FROM subjects")} == {f"{kind}/{live}"}
    await later(store, 31)
    await keeping(store).prune()
    assert rows(store, f"SELECT id FROM {kind}s") == [(live,)]
    assert rows(store, "SELECT count(*) FROM subjects")[0][0] == 1


async def test_a_silent_subject_keeps_its_sequence_for_thirty_days(store: Store) -> None:
    customer = await new_customer(store, uri="")
    await publish(store, customer, 2, subject="order/1")
    await publish(store, customer, 2, subject="order/2")
    retention = keeping(store)
    await retention.prune()
    await later(store, 29)
    await retention.prune()
    await publish(store, customer, subject="order/1")
    assert await positions(store, customer) == [(5, 3)]
    await later(store, 2)
    await keeping(store, timedelta(days=30)).prune()
    assert [row[0] for row in rows(store, "SELECT subject FROM subjects")] == ["order/1"]


async def test_a_round_goes_on_where_the_last_one_ended_and_looks_at_no_event_twice(
    store: Store, customer: str
) -> None:
    await publish(store, customer, 250)
    retention = keeping(store, order=timedelta(days=30))
    await retention.prune()
    looked_at: list[list[object]] = []

    def note(*given: Any) -> None:
        if "FROM events" in given[2] and "length(" in given[2]:
            looked_at.append(list(given[3].values() if isinstance(given[3], dict) else given[3]))

    sa.event.listen(store.database.writer, "before_cursor_execute", note)
    await keeping(store, order=timedelta(days=30)).prune()
    newest = rows(store, "SELECT max(key) FROM events")[0][0]
    assert newest in looked_at[0], "the rule that has passed them all goes on beyond the last one"


async def test_a_family_that_loses_its_own_retention_is_forgotten_with_the_others(store: Store) -> None:
    customer = await new_customer(store, uri="")
    await publish(store, customer, 3)
    assert await keeping(store, order=timedelta(days=30)).prune() == 0
    assert await keeping(store).prune() == 3


async def test_an_event_with_very_many_deliveries_and_attempts_goes_in_several_commits(
    store: Store, customer: str
) -> None:
    (event_id,) = await publish(store, customer)
    await deliver(store, customer, "exhausted", number=3)

    def repeat(tx: Transaction) -> None:
        run = tx.connection.execute
        run(
            sa.text(
                "INSERT INTO deliveries (key, event_key, customer_key, destination_key, status, due_at, tm_create, "
                "attempt_count, last_outcome) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
                "i < 1500) SELECT 100000 + i, event_key, customer_key, destination_key, CASE WHEN i % 500 = 0 THEN 0 "
                "ELSE 2 END, due_at, tm_create, 3, '' FROM n, deliveries"
            )
        )
        for number in (1, 2):
            run(
                sa.text(
                    "INSERT INTO attempts (delivery_key, number, uri_key, outcome, started_at, latency_ms, response) "
                    "SELECT deliveries.key, :number, 1, 'dns', 1, 1, payload FROM deliveries, events"
                ),
                {"number": number},
            )

    await store.write(repeat)
    before = store.group_count
    retention = keeping(store)
    assert await retention.prune() == 0
    assert store.group_count - before > 4
    assert rows(store, "SELECT count(*) FROM deliveries")[0][0] == 3, "those still pending"
    assert len(await store.read(lambda c: attempts_of_event(c, customer, event_id))) == 6
    await deliver(store, customer)
    assert await retention.prune() == 1
    for table in ("events", "deliveries", "attempts"):
        assert rows(store, f"SELECT count(*) FROM {table}")[0][0] == 0


async def test_requests_are_forgotten_after_a_day_in_several_commits(store: Store, customer: str) -> None:
    def remember(tx: Transaction) -> None:
        accept(tx, customer, [], idempotency_key="new", digest=b"x")
        key = tx.customer_key(customer)
        tx.connection.execute(
            sa.text(
                "INSERT INTO idempotency_keys (customer_key, idempotency_key, digest, ids, tm_expire) WITH RECURSIVE "
                "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
                "SELECT :key, 'old' || i, digest, ids, i FROM n, idempotency_keys"
            ),
            {"key": key},
        )

    await store.write(remember)
    before = store.group_count
    await keeping(store, timedelta(days=30)).prune()
    assert store.group_count - before > 8
    assert rows(store, "SELECT idempotency_key FROM idempotency_keys") == [("new",)]


async def test_a_uri_is_forgotten_when_no_attempt_names_it_any_more(store: Store) -> None:
    customer = await new_customer(store)
    (event_id,) = await publish(store, customer)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=9))
    failed = record(delivery.key, webhook, status="pending", due_us=FAR)
    failed = msgspec.structs.replace(failed, uri_key=webhook.uri_key)
    await store.write(lambda tx: tx.record(failed))
    for number in range(3):
        await store.write(partial(destinations.set_webhook, customer_id=customer, uri=f"{URI}/{number}", method="POST"))
    await store.write(
        lambda tx: tx.connection.exec_driver_sql("UPDATE uris SET tm_replaced = tm_replaced - 7200000000")
    )
    await store.write(lambda tx: tx.connection.exec_driver_sql("UPDATE events SET tm_create = tm_create - 14400000000"))
    retention = keeping(store)
    await retention.prune()
    (attempt,) = await store.read(lambda c: attempts_of_event(c, customer, event_id))
    assert attempt.uri == URI
    await deliver(store, customer)
    await retention.prune()
    assert [row[0] for row in rows(store, "SELECT uri FROM uris")] == [f"{URI}/2"]
    assert await statuses(store, customer) == []


@pytest.mark.parametrize("keep", [timedelta(days=30), NOTHING])
async def test_a_round_on_an_empty_log_does_nothing(store: Store, keep: timedelta) -> None:
    assert await keeping(store, keep).prune() == 0
