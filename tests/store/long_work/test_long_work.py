"""Erasing, cancelling and sending at once, however much there is: nobody else waits, and a crash only delays it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TypeVar

import pytest
import sqlalchemy as sa

from offhook.delivery.finishing import Finisher, finish_cancelling, finish_making_due
from offhook.delivery.log import erase_subject, replay, resend
from offhook.domain.delivery.delivery import AttemptRecord
from offhook.domain.delivery.delivery_log import LoggedStatus
from offhook.domain.errors import ConflictError
from offhook.domain.events.replay import Replay
from offhook.store.commit.committed import Committed
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database
from offhook.store.long_work.erasing import begin_erasing
from offhook.store.long_work.making_due import Marked, make_due_step
from offhook.store.queries import destinations
from offhook.store.queries.backlog import START, load_delivery, load_due, load_holding, load_subject
from offhook.store.queries.deliveries import attempts_of_event, list_deliveries
from offhook.store.queries.events import get_event, list_events
from offhook.store.store import Store
from tests.running import Running
from tests.store.commit.test_group_commit import publish
from tests.store.conftest import URI, new_customer, rows
from tests.store.queries.test_destinations import record, statuses

T = TypeVar("T")
FAR = 2**60
MANY = 4_000


async def others_beside(store: Store, work: Awaitable[T]) -> tuple[T, int]:
    """What the work gave, and how many changes of another customer were committed while it was done."""
    other = await new_customer(store)
    working = asyncio.ensure_future(work)
    while not working.done():
        await publish(store, other)
    await publish(store, other)
    made: int = rows(store, "SELECT count(*) FROM events WHERE subject_key = (SELECT max(key) FROM subjects)")[0][0]
    return await working, made


def record_all(records: Sequence[AttemptRecord], tx: Transaction) -> None:
    for one in records:
        tx.record(one)


async def fail_all(store: Store, customer: str, *, at_us: int = 1_000) -> None:
    """Every pending delivery has failed once, and is due much later."""
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    due = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=100_000))
    for start in range(0, len(due), 500):
        some = [
            record(d.key, webhook, status="pending", number=d.attempt_count + 1, due_us=FAR, at_us=at_us)
            for d in due[start : start + 500]
        ]
        await store.write(partial(record_all, some))


async def pending(store: Store, customer: str, *, until_us: int = FAR) -> list[str]:
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    due = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=until_us, limit=100_000))
    return [delivery.event_id for delivery in due]


async def test_publishers_go_on_while_a_large_subject_is_erased(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    await publish(store, customer, MANY, subject="person/1")
    await fail_all(store, customer)
    commits.clear()
    erased, made = await others_beside(store, erase_subject(store, customer, "person/1"))
    assert erased == MANY
    assert made > 10
    assert [(customer, "person/1")] == [one for commit in commits for one in commit.erased]
    assert rows(store, "SELECT count(*) FROM events WHERE length(payload) > 0 AND subject_key = 1")[0][0] == 0
    assert rows(store, "SELECT count(*) FROM attempts")[0][0] == 0
    assert await pending(store, customer) == []
    assert await erase_subject(store, customer, "person/1") == MANY, "may be repeated"


async def test_nothing_of_an_erasure_under_way_is_sent_or_shown(store: Store, customer: str) -> None:
    old = await publish(store, customer, 3, subject="person/1")
    await fail_all(store, customer)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (first, *_) = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=9))
    assert await store.write(lambda tx: begin_erasing(tx, customer, "person/1"))
    (new,) = await publish(store, customer, subject="person/1")
    assert await pending(store, customer) == [new]
    assert await store.read(lambda c: load_delivery(c, first.key)) is None
    assert await store.read(lambda c: load_holding(c, webhook.key, failed_since_us=0, limit=9)) == []
    found, _ = await store.read(lambda c: load_subject(c, webhook.key, "person/1", place=(0, 0), limit=9))
    assert [delivery.event_id for delivery in found] == [new]
    events, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    assert [event.is_erased for event in events] == [True, True, True, False]
    with pytest.raises(ConflictError):
        await store.write(lambda tx: resend(tx, customer, old[0]))
    assert await replay(store, customer, Replay(after=0, only="all")) == 0


async def test_an_erasure_that_was_cut_short_is_finished_after_the_next_start(
    store: Store, customer: str, database_url: str
) -> None:
    (event_id,) = await publish(store, customer, subject="person/1")
    await fail_all(store, customer)
    await store.write(lambda tx: begin_erasing(tx, customer, "person/1"))
    (new,) = await publish(store, customer, subject="person/1")
    await store.stop()
    again = Store(Database(database_url))
    await again.start()
    running = Running()
    await running.add(Finisher(again))
    while rows(again, "SELECT count(*) FROM subjects WHERE erase_to IS NOT NULL")[0][0]:
        await asyncio.sleep(0.01)
    await running.stop()
    assert await again.read(lambda c: attempts_of_event(c, customer, event_id)) == []
    assert sorted(await statuses(again, customer)) == ["cancelled", "pending"]
    assert not (await again.read(lambda c: get_event(c, customer, new))).is_erased
    assert rows(again, "SELECT count(*) FROM events WHERE length(payload) = 0")[0][0] == 1
    await again.stop()


async def test_an_event_with_very_many_deliveries_is_erased_with_each_of_them(store: Store, customer: str) -> None:
    await publish(store, customer, 2, subject="person/1")
    await store.write(
        lambda tx: tx.connection.execute(
            sa.text(
                "INSERT INTO deliveries (key, event_key, customer_key, destination_key, status, due_at, tm_create, "
                "attempt_count, last_outcome, response) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                "WHERE i < 700) SELECT 100000 * event_key + i, event_key, deliveries.customer_key, destination_key, "
                "i % 3, due_at, deliveries.tm_create, 5, '', payload FROM n, deliveries JOIN events ON "
                "events.key = event_key"
            )
        )
    )
    assert await erase_subject(store, customer, "person/1") == 2
    assert rows(store, "SELECT count(*) FROM deliveries WHERE status = 0 OR length(response) > 0")[0][0] == 0
    assert rows(store, "SELECT count(*) FROM events WHERE length(payload) > 0")[0][0] == 0


async def test_deleting_a_customer_stops_at_once_and_cancels_in_steps(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    await publish(store, customer, MANY)
    await store.write(lambda tx: destinations.cancel_customer(tx, customer))
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    assert commits[-1].changed == {webhook.key}
    assert (webhook.uri, webhook.held_reason) == ("", "deleted")
    _, made = await others_beside(store, finish_cancelling(store))
    assert made > 5
    listed, _ = await store.read(lambda c: list_deliveries(c, customer, status=LoggedStatus.CANCELLED, page_size=MANY))
    assert len(listed) == MANY
    assert rows(store, "SELECT count(*) FROM destinations WHERE held_reason = 'deleted'")[0][0] == 0


async def test_what_a_deleted_customer_leaves_over_is_cancelled_without_being_asked(store: Store) -> None:
    running = Running()
    await running.add(Finisher(store))
    for _ in range(2):
        customer = await new_customer(store)
        await publish(store, customer, 300)
        await store.write(partial(destinations.cancel_customer, customer_id=customer))
        async with asyncio.timeout(20):
            while rows(store, "SELECT count(*) FROM deliveries WHERE status = 0")[0][0]:
                await asyncio.sleep(0.01)
    await running.stop()


async def test_a_new_uri_sends_what_failed_at_its_old_place_and_publishers_go_on(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    failed = await publish(store, customer, MANY)
    await fail_all(store, customer)
    fresh = await publish(store, customer, 3)
    now_us = store.clock.now_us()
    assert await pending(store, customer, until_us=now_us) == fresh
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/new", method="POST"))
    assert commits[-1].has_left_over
    _, made = await others_beside(store, finish_making_due(store))
    assert made > 5
    assert any(commit.rewound for commit in commits), "the engine has to know"
    assert await pending(store, customer, until_us=now_us) == failed + fresh
    assert rows(store, "SELECT count(*) FROM destinations WHERE due_mark IS NOT NULL") == [(0,)]


async def test_what_failed_again_under_the_new_uri_keeps_its_own_time(store: Store, customer: str) -> None:
    await publish(store, customer, 300)
    await fail_all(store, customer)
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/new", method="POST"))
    await fail_all(store, customer, at_us=time.time_ns() // 1000)
    await finish_making_due(store)
    assert await pending(store, customer, until_us=store.clock.now_us()) == []


async def test_a_webhook_set_again_while_what_failed_is_being_made_due_sends_all_of_it(
    store: Store, customer: str
) -> None:
    await publish(store, customer, 1_000)
    await fail_all(store, customer)
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/b", method="POST"))
    ((key, mark_us),) = rows(store, "SELECT key, due_mark FROM destinations WHERE due_mark IS NOT NULL")
    marked = await store.write(lambda tx: make_due_step(tx, Marked(key, mark_us, 0)))
    assert marked is not None
    # The second one refuses them too; then comes a third.
    await fail_all(store, customer, at_us=time.time_ns() // 1000)
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/c", method="POST"))
    assert await store.write(lambda tx: make_due_step(tx, marked)) is None
    await finish_making_due(store)
    assert len(await pending(store, customer, until_us=store.clock.now_us())) == 1_000


async def test_a_webhook_set_again_does_not_wait_until_another_customers_many_are_made_due(store: Store) -> None:
    many, few = await new_customer(store), await new_customer(store)
    for customer, count in ((many, 3_000), (few, 300)):
        for _ in range(count // 300):
            await publish(store, customer, 300)
        await fail_all(store, customer)
    for customer in (many, few):
        await store.write(partial(destinations.set_webhook, customer_id=customer, uri=URI + "/b", method="POST"))
    finishing = asyncio.create_task(finish_making_due(store))
    async with asyncio.timeout(30):
        while len(await pending(store, few, until_us=store.clock.now_us())) < 300:
            await asyncio.sleep(0.001)
    assert not finishing.done()
    await finishing
