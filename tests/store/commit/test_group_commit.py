"""Changes that come together are committed together, and none pays for another's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from offhook.delivery import publishing
from offhook.domain.errors import ConflictError, NotFoundError
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.events.publication import Publication
from offhook.domain.ids import new_uuid
from offhook.store import schema
from offhook.store import store as store_module
from offhook.store.commit.committed import Committed
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database, is_database_error
from offhook.store.queries import access_keys, agents, customers, destinations
from offhook.store.queries.events import list_events
from offhook.store.store import Store
from tests.store.conftest import in_one_group, new_customer, rows


def event(customer: str, subject: str = "order/1", event_id: str = "", number: int = 0) -> NewEvent:
    return NewEvent(customer, "order_paid", subject, envelope("order_paid", b'{"n":%d}' % number), event_id)


async def publish(store: Store, customer: str, count: int = 1, subject: str = "order/1") -> list[str]:
    return await store.write(lambda tx: [tx.add_event(event(customer, subject, number=n)) for n in range(count)])


async def test_parallel_changes_share_commits_and_each_gets_its_own_result(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    before = store.group_count
    answers = await asyncio.gather(*(publish(store, customer, 3, f"order/{n % 7}") for n in range(200)))
    assert len({event_id for ids in answers for event_id in ids}) == 600
    assert store.group_count - before < 100
    told = [event for commit in commits for event in commit.events]
    assert [event.position for event in told] == list(range(1, 601))
    assert [event.id for event in told if event.subject == "order/3"] == [
        event_id for number, ids in enumerate(answers) if number % 7 == 3 for event_id in ids
    ]
    for subject in {event.subject for event in told}:
        sequences = [event.sequence for event in told if event.subject == subject]
        assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.parametrize("touches", [False, True])
async def test_a_failing_change_costs_only_itself(store: Store, customer: str, touches: bool) -> None:
    def fail(tx: Transaction) -> None:
        tx.add_event(event(customer, number=99))
        if touches:
            tx.connection.execute(sa.update(schema.customers).values(name="changed"))
        raise ConflictError("no")

    good = [publish(store, customer) for _ in range(20)]
    outcomes = await asyncio.gather(*good[:10], store.write(fail), *good[10:], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(ConflictError) == 1
    found, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    assert [found.position for found in found] == list(range(1, 21))
    assert b"99" not in b"".join(found.payload for found in found)
    assert rows(store, "SELECT count(*) FROM customers WHERE name = 'changed'")[0][0] == 0


@pytest.mark.parametrize("swallows", [False, True])
async def test_what_was_acknowledged_is_there_though_a_neighbours_statement_failed(
    store: Store, customer: str, swallows: bool
) -> None:
    def rename(tx: Transaction) -> None:
        tx.connection.execute(sa.update(schema.customers).values(name="changed"))

    def fail(tx: Transaction) -> None:
        try:
            tx.reader.exec_driver_sql("SELECT nothing FROM nowhere")
        except sa.exc.DBAPIError:
            if not swallows:
                raise

    outcomes = await in_one_group(store, rename, fail)
    # SQLite undoes a statement that failed, and nothing else.
    has_failed = not (swallows and store.database.is_sqlite)
    assert [is_database_error(outcome) for outcome in outcomes] == [False, has_failed]
    assert rows(store, "SELECT name FROM customers") == [("changed",)]


def _update_then_raise(tx: Transaction, customer: str) -> None:
    tx.connection.execute(sa.update(schema.customers).values(name="changed"))
    tx.connection.execute(sa.insert(schema.uris).values(key=tx.next_key("uris"), destination_key=0, uri="x"))
    tx.committed.erased.add((customer, "order/1"))
    raise ConflictError("no")


def _write_then_raise(tx: Transaction, customer: str) -> None:
    customers.change_customer(tx, customer, name="changed")
    destinations.set_webhook(tx, customer, uri="https://elsewhere.example.com", method="POST")
    raise ConflictError("no")


FAILING: dict[str, Callable[[Transaction, str], object]] = {
    "no such customer": lambda tx, _: customers.change_customer(tx, new_uuid(), name="changed"),
    "no such agent": lambda tx, customer: agents.change_agent(tx, customer, new_uuid(), name="changed"),
    "no such access key": lambda tx, customer: access_keys.change_access_key(tx, customer, new_uuid(), name="changed"),
    "no such webhook": lambda tx, _: destinations.set_webhook(
        tx, new_uuid(), uri="https://a.example.com", method="PUT"
    ),
    "decided too late": _write_then_raise,
    "statements of its own": _update_then_raise,
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_client_that_is_refused_again_and_again_costs_its_neighbours_no_commit(
    store: Store, customer: str, commits: list[Committed], name: str
) -> None:
    def good(tx: Transaction) -> str:
        return tx.add_event(event(customer))

    def bad(tx: Transaction) -> object:
        tx.add_event(event(customer, number=99))
        return FAILING[name](tx, customer)

    before = store.group_count
    outcomes = await in_one_group(store, *[good, bad] * 10)
    assert store.group_count - before <= 2
    assert {type(outcome) for outcome in outcomes[1::2]} <= {NotFoundError, ConflictError}
    assert [row[0] for row in rows(store, "SELECT id FROM events ORDER BY position")] == outcomes[::2]
    assert [event.id for commit in commits for event in commit.events] == outcomes[::2]
    assert rows(store, "SELECT name FROM customers") == [("",)]
    assert rows(store, "SELECT count(*) FROM uris") == [(1,)]
    assert not any(commit.erased for commit in commits)


async def test_a_key_that_was_given_back_with_a_failed_change_is_given_out_once(
    store: Store, customer: str, database_url: str
) -> None:
    def fail(tx: Transaction) -> None:
        tx.connection.execute(sa.update(schema.customers).values(name="changed"))
        tx.next_key("overdue_events")
        raise ConflictError("no")

    def add(tx: Transaction) -> None:
        tx.connection.execute(sa.insert(schema.overdue_events).values(event_key=tx.next_key("overdue_events")))

    outcomes = await in_one_group(store, fail, add)
    assert isinstance(outcomes[0], ConflictError)
    await store.stop()
    again = Store(Database(database_url))
    await again.start()
    await again.write(add)
    await again.stop()


async def test_a_customer_whose_making_failed_is_made_later_under_the_same_id(store: Store) -> None:
    customer_id = new_uuid()

    def make(tx: Transaction) -> None:
        customers.add_customer(tx, customer_id, "secret", {})
        assert tx.customer_key(customer_id)

    def fail(tx: Transaction) -> None:
        make(tx)
        assert tx.reader
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await store.write(fail)
    with pytest.raises(NotFoundError):
        await publish(store, customer_id)
    other = await new_customer(store)
    await store.write(make)
    for one in (other, customer_id):
        (event_id,) = await publish(store, one)
        found, _ = await store.read(partial(list_events, customer_id=one, after=0))
        assert [event.id for event in found] == [event_id]


async def test_a_customers_key_learned_in_a_group_that_failed_is_forgotten(store: Store) -> None:
    """What is made in the first run of a group may get another key in the second."""
    runs: list[int] = []
    first, second = new_uuid(), new_uuid()

    def sometimes(tx: Transaction) -> None:
        runs.append(1)
        if len(runs) > 1:
            customers.add_customer(tx, second, "secret", {})

    def fail(tx: Transaction) -> None:
        tx.reader.exec_driver_sql("SELECT nothing FROM nowhere")

    outcomes = await in_one_group(store, sometimes, lambda tx: customers.add_customer(tx, first, "secret", {}), fail)
    assert outcomes[:2] == [None, None]
    assert rows(store, "SELECT count(*) FROM destinations JOIN customers ON customer_key = customers.key") == [(2,)]


async def test_the_same_id_twice_in_one_group_is_kept_once(store: Store, customer: str) -> None:
    def add(tx: Transaction) -> str:
        return tx.add_event(event(customer, event_id="same"))

    outcomes = await asyncio.gather(
        *(store.write(add) for _ in range(5)), publish(store, customer), return_exceptions=True
    )
    assert [isinstance(outcome, Exception) for outcome in outcomes].count(True) == 4
    found, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    assert sorted(found.position for found in found) == [1, 2]


async def test_repeats_that_meet_in_one_group_get_the_same_answer_and_cost_their_neighbours_nothing(
    store: Store, customer: str
) -> None:
    def repeat(tx: Transaction, payload: bytes = b"1") -> list[str]:
        return publishing.publish(tx, customer, [Publication("a", "a/1", "given", payload)])

    def remembered(tx: Transaction) -> list[str]:
        one = Publication("a", "a/1", "", b"1")
        return publishing.publish(tx, customer, [one], idempotency_key="key", digest=b"digest")

    def fail(tx: Transaction) -> None:
        publishing.publish(tx, customer, [Publication("a", "a/1", "undone", b"3")])
        raise ConflictError("no")

    def undone(tx: Transaction) -> list[str]:
        return publishing.publish(tx, customer, [Publication("a", "a/1", "undone", b"4")])

    before = store.group_count
    changes = [repeat, remembered, repeat, remembered, lambda tx: repeat(tx, b"2"), fail, undone]
    outcomes = await in_one_group(store, *changes)
    assert store.group_count - before <= 2
    assert outcomes[0] == outcomes[2] == ["given"]
    assert outcomes[1] == outcomes[3]
    assert [outcome.reason for outcome in outcomes[4:6]] == ["EVENT_ID_REUSED", "STATE_INVALID"]
    assert outcomes[6] == ["undone"]
    assert [row[0] for row in rows(store, "SELECT id FROM events ORDER BY position")] == [
        *("given", outcomes[1][0], "undone")
    ]


async def test_an_unknown_customer_is_not_found_and_disturbs_nobody(store: Store, customer: str) -> None:
    outcomes = await asyncio.gather(publish(store, customer), publish(store, new_uuid()), return_exceptions=True)
    assert isinstance(outcomes[1], NotFoundError)
    assert isinstance(outcomes[0], list)


async def test_a_caller_that_goes_away_leaves_its_change_committed_and_told(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    waiting = asyncio.ensure_future(publish(store, customer))
    await asyncio.sleep(0)
    waiting.cancel()
    await publish(store, customer)
    assert sum(len(commit.events) for commit in commits) == 2


async def test_what_a_second_start_finds_is_what_was_answered(store: Store, customer: str, database_url: str) -> None:
    ids = await publish(store, customer, 5)
    await store.stop()
    again = Store(Database(database_url))
    await again.start()
    found, cursor = await again.read(lambda connection: list_events(connection, customer, after=0))
    assert [found.id for found in found] == ids
    assert cursor == 5
    (next_id,) = await publish(again, customer)
    assert next_id not in ids
    found, _ = await again.read(lambda connection: list_events(connection, customer, after=cursor))
    assert [(found.position, found.sequence) for found in found] == [(6, 6)]
    await again.stop()


async def test_a_reader_that_pages_while_others_write_skips_and_repeats_nothing(store: Store, customer: str) -> None:
    other = await new_customer(store)
    seen: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        cursor = 0
        while True:
            is_last = done.is_set()
            found, cursor = await store.read(partial(list_events, customer_id=customer, after=cursor, page_size=7))
            seen.extend(event.position for event in found)
            if is_last and not found:
                return

    async def write(number: int) -> None:
        for _ in range(15):
            await publish(store, customer if number % 3 else other, number % 4 + 1, f"order/{number}")

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        async with asyncio.TaskGroup() as writers:
            for number in range(12):
                writers.create_task(write(number))
        done.set()
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == sum(15 * (number % 4 + 1) for number in range(12) if number % 3)


def test_only_the_store_runs_statements_at_once() -> None:
    source = Path(store_module.__file__).parents[1]
    others = [file for file in source.rglob("*.py") if file.relative_to(source).parts[0] != "store"]
    assert [file for file in others if "tx.connection" in file.read_text()] == []
