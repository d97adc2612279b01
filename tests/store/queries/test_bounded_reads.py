"""Whatever is asked over the API, it ends soon and keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from offhook.domain.delivery.delivery_log import LoggedStatus
from offhook.domain.errors import UnavailableError
from offhook.domain.events.event import NewEvent, envelope
from offhook.store import store as store_module
from offhook.store.commit.transaction import Transaction
from offhook.store.database import database as database_module
from offhook.store.database.database import Database
from offhook.store.queries import destinations, scan
from offhook.store.queries.deliveries import attempts_of_event, list_deliveries
from offhook.store.queries.events import list_events
from offhook.store.store import Store
from tests.store.conftest import new_customer

FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
PAYLOAD = envelope("order_paid", b"{}")


async def fill(store: Store, customer: str, count: int, *, rare_every: int = 0, subject: str = "order/1") -> None:
    """Events of one type, and every so often one of another."""

    def change(tx: Transaction, start: int) -> None:
        for number in range(start, min(start + 2_000, count)):
            is_rare = rare_every and number % rare_every == 0
            tx.add_event(
                NewEvent(customer, "rare" if is_rare else "order_paid", "rare/1" if is_rare else subject, PAYLOAD)
            )

    for start in range(0, count, 2_000):
        await store.write(partial(change, start=start))


async def set_statuses(store: Store, case: str) -> None:
    await store.write(lambda tx: tx.connection.execute(sa.text(f"UPDATE deliveries SET status = {case}")))


async def pages(
    store: Store,
    customer: str,
    *,
    status: LoggedStatus | None = None,
    event_type: str | None = None,
    subject: str | None = None,
    page_size: int = 100,
) -> list[list[int]]:
    """Every page of a list of deliveries, to its end."""
    found: list[list[int]] = []
    place: int | None = None
    page = partial(list_deliveries, customer_id=customer, status=status, event_type=event_type, subject=subject)
    while True:
        rows, place = await store.read_for_api(partial(page, before=place, page_size=page_size))
        found.append([row.key for row in rows])
        if place is None:
            return found


async def test_a_filter_that_matches_little_gives_short_pages_and_a_token_to_go_on(store: Store, customer: str) -> None:
    await fill(store, customer, 25_000, rare_every=24_999)
    found = await pages(store, customer, event_type="rare")
    assert [len(page) for page in found] == [1, 0, 1]
    assert [[key for page in found for key in page]] == await pages(store, customer, subject="rare/1")
    assert await pages(store, customer, event_type="none") == [[], [], []]


async def test_a_status_and_a_small_subject_are_found_by_their_index(store: Store, customer: str) -> None:
    await fill(store, customer, 12_000, rare_every=6_000)
    await set_statuses(store, "CASE WHEN event_key % 4000 = 0 THEN 0 WHEN event_key % 4000 = 1 THEN 3 ELSE 1 END")
    for status in (LoggedStatus.PENDING, LoggedStatus.CANCELLED):
        (page,) = await pages(store, customer, status=status)
        assert len(page) == 3, "in one page, the oldest included"
    (page,) = await pages(store, customer, subject="rare/1")
    assert len(page) == 2
    assert await pages(store, customer, subject="unknown") == [[]]


@pytest.mark.parametrize("subject", [None, "order/1", "rare/1"])
@pytest.mark.parametrize("status", [None, *LoggedStatus])
async def test_pages_put_together_are_the_whole_list(
    store: Store, customer: str, status: LoggedStatus | None, subject: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MAX_ROWS", 200)
    monkeypatch.setattr(scan, "_STRETCH", 70)
    await fill(store, customer, 600, rare_every=9)
    await set_statuses(store, "CASE WHEN event_key % 5 = 0 THEN 0 ELSE event_key % 4 END")
    if status is LoggedStatus.HELD:
        await store.write(lambda tx: destinations.hold_customer(tx, customer))
    whole = await _all_matching(store, status, subject)
    assert whole
    found = await pages(store, customer, status=status, subject=subject, page_size=40)
    assert [key for page in found for key in page] == whole
    assert max(len(page) for page in found) <= 40


async def _all_matching(store: Store, status: LoggedStatus | None, subject: str | None) -> list[int]:
    number = {"pending": 0, "held": 0, "succeeded": 1, "exhausted": 2, "cancelled": 3}.get(status or "")
    conditions = ["1 = 1"]
    if number is not None:
        conditions.append(f"status = {number}")
    if subject is not None:
        conditions.append(f"subject = '{subject}'")
    statement = (
        "SELECT deliveries.key FROM deliveries JOIN events ON events.key = event_key JOIN subjects ON subjects.key = "
        f"subject_key WHERE {' AND '.join(conditions)} ORDER BY deliveries.key DESC"
    )
    return list(await store.read(lambda c: c.exec_driver_sql(statement).scalars().all()))


async def test_a_filtered_log_is_read_to_its_end_with_nothing_left_out(store: Store, customer: str) -> None:
    await fill(store, customer, 25_000, rare_every=12_000)
    cursor, found, questions = 0, [], 0
    while True:
        some, after = await store.read_for_api(partial(list_events, customer_id=customer, after=cursor, type="rare"))
        found += [event.position for event in some]
        questions += 1
        if after == cursor:
            break
        assert after - cursor <= 10_000
        cursor = after
    assert found == [1, 12_001, 24_001]
    assert questions == 4
    large, after = await store.read_for_api(lambda c: list_events(c, customer, after=24_990, subject="order/1"))
    assert ([event.position for event in large], after) == (list(range(24_991, 25_001)), 25_000)


async def test_a_log_that_has_not_come_so_far_says_how_far_it_is(store: Store, customer: str) -> None:
    await fill(store, customer, 3)
    unfiltered = partial(list_events, customer_id=customer, after=4)
    for query in (unfiltered, partial(unfiltered, type="order_paid"), partial(unfiltered, subject="order/1")):
        found = await store.read(query)
        assert found == ([], 3)


SENT_AGAIN = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
INSERT INTO deliveries (key, event_key, customer_key, destination_key, status, due_at, tm_create, attempt_count,
  last_outcome, started_at, latency_ms, response, tm_done)
SELECT key + i, event_key, customer_key, destination_key, 1, i, i, 2, 'succeeded', 10 * i + 1, 5, response, i
FROM deliveries, n
"""
FAILED_BEFORE = """
INSERT INTO attempts (delivery_key, number, outcome, started_at, latency_ms, response)
SELECT key, 1, 'refused', started_at - 1, 5, :response FROM deliveries WHERE started_at IS NOT NULL
"""


async def test_the_attempts_at_an_event_that_was_sent_very_often_are_the_newest_ones(
    store: Store, customer: str
) -> None:
    await fill(store, customer, 1)
    (event,), _ = await store.read(lambda c: list_events(c, customer, after=0))
    await store.write(lambda tx: tx.connection.execute(sa.text(SENT_AGAIN)))

    async def found() -> list[tuple[int, int]]:
        attempts = await store.read_for_api(lambda c: attempts_of_event(c, customer, event.id))
        return [(attempt.started_us, attempt.number) for attempt in attempts]

    assert await found() == [(10 * i + 1, 2) for i in range(501, 1_501)]
    await store.write(lambda tx: tx.connection.execute(sa.text(FAILED_BEFORE), {"response": b"x" * 4_096}))
    assert await found() == [(10 * i + more, more + 1) for i in range(1_001, 1_501) for more in (0, 1)]
    # And of one delivery that failed very often.
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO attempts "
        "(delivery_key, number, outcome, started_at, latency_ms, response) SELECT (SELECT max(key) FROM deliveries), "
        "i + 1, 'refused', 20000 + i, 5, :response FROM n"
    )
    await store.write(lambda tx: tx.connection.execute(sa.text(many), {"response": b""}))
    assert await found() == [(20_000 + i, i + 1) for i in range(1_001, 2_001)]


@pytest.fixture
async def hurried(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A store that gives the API little time."""
    for module in (store_module, database_module):
        monkeypatch.setattr(module, "MAX_API_READ", timedelta(seconds=0.7))
    store = Store(Database(database_url))
    await store.start()
    yield store
    await store.stop()


async def test_a_question_that_takes_too_long_is_broken_off_and_the_next_one_answered(hurried: Store) -> None:
    with pytest.raises(UnavailableError) as refused:
        await hurried.read_for_api(lambda c: c.exec_driver_sql(FOREVER).scalar())
    assert refused.value.reason == "QUERY_TOO_LONG"
    assert await hurried.read_for_api(lambda c: c.exec_driver_sql("SELECT 1").scalar()) == 1


async def test_deliveries_and_log_ins_do_not_wait_for_what_the_api_is_asked(hurried: Store) -> None:
    def ask_for_ever(connection: sa.Connection) -> object:
        return connection.exec_driver_sql(FOREVER).scalar()

    customer = await new_customer(hurried)
    asked = [asyncio.ensure_future(hurried.read_for_api(ask_for_ever)) for _ in range(20)]
    await asyncio.sleep(0)
    webhook = await hurried.read(lambda c: destinations.webhook_of(c, customer))
    assert webhook.customer_id == customer
    assert not any(task.done() for task in asked)
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in refused} == {UnavailableError}
