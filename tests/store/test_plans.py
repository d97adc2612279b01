"""Hot, filtered and background queries stay on their index, on either database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from offhook.delivery.log import resend
from offhook.domain.delivery.delivery_log import LoggedStatus
from offhook.domain.errors import NotFoundError
from offhook.domain.events.replay import Replay
from offhook.domain.events.retention import Rule
from offhook.domain.noun import registry
from offhook.domain.place import Place
from offhook.domain.step import Lookup
from offhook.domain.switch.commands import SwitchCommand
from offhook.flows.activeflow import ACTIVEFLOW
from offhook.store.commit.destination_rows import destinations_with_pending
from offhook.store.commit.rows import GroupRows, Tables, Wanted
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database
from offhook.store.database.prepared import Prepared
from offhook.store.long_work import cancelling, erasing, forgetting, making_due, replay, retention, rolling_up
from offhook.store.queries import backlog, deliveries, destinations
from offhook.store.queries.backlog import START
from offhook.store.queries.deliveries import list_deliveries
from offhook.store.queries.events import list_events, newest_events
from offhook.store.queries.stats import webhook_numbers
from offhook.store.store import Store
from tests.databases import sqlite_database
from tests.store.commit.test_group_commit import publish
from tests.store.conftest import new_customer

TABLES = Tables(registry(ACTIVEFLOW), SwitchCommand)
NOW = 45 * 3_600_000_000
SINCE = datetime(2026, 5, 2, 9, 0, tzinfo=UTC)
OLD = Rule("", (), 2**60)

READS: dict[str, tuple[Callable[[sa.Connection, str, str], object], str]] = {
    "load": (lambda c, _, e: backlog.load_due(c, 1, after=START, until_us=5, limit=5), "deliveries_pending"),
    "holding": (lambda c, _, e: backlog.load_holding(c, 1, failed_since_us=5, limit=5), "deliveries_pending"),
    "of subject": (
        lambda c, customer, e: backlog.load_subject(
            c, destinations.webhook_of(c, customer).key, "order/1", place=(0, 0), limit=5
        ),
        "events_subject",
    ),
    "survey": (lambda c, _, e: destinations_with_pending(c, until_us=5), "deliveries_pending"),
    "next": (lambda c, _, e: backlog.next_due_us(c, 1, after_us=5), "deliveries_pending"),
    "events": (lambda c, customer, e: list_events(c, customer, after=0), "events_position"),
    "events of a type": (lambda c, customer, e: list_events(c, customer, after=0, type="x"), "events_position"),
    "events of a subject": (
        lambda c, customer, e: list_events(c, customer, after=0, subject="order/1"),
        "events_subject",
    ),
    "newest events": (lambda c, customer, e: newest_events(c, customer), "events_position"),
    "newest events of a type": (
        lambda c, customer, e: newest_events(c, customer, before=9, type="x"),
        "events_position",
    ),
    "newest events of a subject": (
        lambda c, customer, e: newest_events(c, customer, before=9, subject="order/1"),
        "events_subject",
    ),
    "of event": (deliveries.attempts_of_event, "deliveries_event"),
    "all": (lambda c, customer, e: list_deliveries(c, customer), "deliveries_customer"),
    "of a type": (lambda c, customer, e: list_deliveries(c, customer, event_type="x"), "deliveries_customer"),
    "of a subject": (lambda c, customer, e: list_deliveries(c, customer, subject="order/1"), "events_subject"),
    "of a subject, next page": (
        lambda c, customer, e: list_deliveries(c, customer, subject="order/1", before=9),
        "deliveries_event",
    ),
    "of an event": (lambda c, customer, e: list_deliveries(c, customer, event_id=e), "deliveries_event"),
    "pending": (lambda c, customer, e: list_deliveries(c, customer, status=LoggedStatus.PENDING), "deliveries_waiting"),
    "held": (
        lambda c, customer, e: list_deliveries(c, customer, status=LoggedStatus.HELD, before=9),
        "deliveries_waiting",
    ),
    "exhausted": (
        lambda c, customer, e: list_deliveries(c, customer, status=LoggedStatus.EXHAUSTED),
        "deliveries_exhausted",
    ),
    "cancelled": (
        lambda c, customer, e: list_deliveries(c, customer, status=LoggedStatus.CANCELLED),
        "deliveries_cancelled",
    ),
    "succeeded": (
        lambda c, customer, e: list_deliveries(c, customer, status=LoggedStatus.SUCCEEDED),
        "deliveries_customer",
    ),
    "open rows": (lambda c, _, e: TABLES.open(c), "activeflows_open"),
    "due rows": (lambda c, _, e: TABLES.due(c, SINCE), "activeflows_due"),
    "rows of a customer": (
        lambda c, customer, e: TABLES.page(c, "activeflow", customer, Wanted(9)),
        "activeflows_customer",
    ),
    "rows of a customer, next page": (
        lambda c, customer, e: TABLES.page(
            c, "activeflow", customer, Wanted(9), before=Place(1_777_712_400_000_000, 5)
        ),
        "activeflows_customer",
    ),
    "row of a customer": (
        lambda c, customer, e: found_or_not(lambda: TABLES.get(c, "activeflow", customer, "x")),
        "(sqlite_autoindex_activeflows_1|activeflows_id_key)",
    ),
    "numbers": (lambda c, customer, e: webhook_numbers(c, customer, now_us=NOW, seconds=72_000), "minute_counts_pkey"),
    "numbers of hours": (
        lambda c, customer, e: webhook_numbers(c, customer, now_us=NOW, seconds=72_000),
        "hour_counts_pkey",
    ),
    "oldest": (
        lambda c, customer, e: webhook_numbers(c, customer, now_us=NOW, seconds=72_000),
        "deliveries_pending",
    ),
    "oldest of those that were tried": (
        lambda c, customer, e: webhook_numbers(c, customer, now_us=NOW, seconds=72_000),
        "deliveries_failed",
    ),
}


def found_or_not(query: Callable[[], object]) -> None:
    with suppress(NotFoundError):
        query()


CHANGES: dict[str, tuple[Callable[[Transaction, str, str], object], str]] = {
    "resend": (resend, "deliveries_event"),
    "replay": (
        lambda tx, customer, e: replay.replay_step(
            tx, customer, destinations.webhook_of(tx.reader, customer).key, Replay(after=0), 0, 9
        ),
        "deliveries_event",
    ),
    "prune": (lambda tx, c, e: retention.prune_step(tx, OLD), "deliveries_event"),
    "forget keys": (lambda tx, c, e: retention.forget_keys_step(tx, True), "idempotency_keys_expire"),
    "forget subjects": (lambda tx, c, e: forgetting.forget_subjects_step(tx, True), "subjects_forget"),
    "forget uris": (lambda tx, c, e: forgetting.forget_uris_step(tx, 2**60, (0, 0)), "uris_replaced"),
    "erase": (lambda tx, c, e: erasing.erase_step(tx, erasing.Erasure(1, 9), (0, 0)), "events_subject"),
    "cancel": (lambda tx, c, e: cancelling.cancel_step(tx, 1, True), "deliveries_pending"),
    "row in a group": (
        lambda tx, c, e: GroupRows(tx.connection, tx, TABLES).get("activeflow", "x"),
        "(sqlite_autoindex_activeflows_1|activeflows_id_key)",
    ),
    "rows in an index": (
        lambda tx, c, e: GroupRows(tx.connection, tx, TABLES).find(Lookup("agent", "free", c)),
        "places_pkey",
    ),
    "roll up": (lambda tx, c, e: rolling_up.roll_up_step(tx, 2**60), "minute_counts_age"),
    "forget hours": (lambda tx, c, e: rolling_up.forget_hours_step(tx, 2**60), "hour_counts_age"),
    "make due": (lambda tx, c, e: making_due.make_due(tx, 1, 0, 0), "deliveries_failed"),
}


SORTED = {
    *("activeflows_customer", "activeflows_open", "places_pkey"),
    *("minute_counts_age", "hour_counts_age", "minute_counts_pkey", "hour_counts_pkey"),
}
"""What is found in the order in which it is wanted."""


def plans(connection: sa.Connection, work: Callable[[], object]) -> list[str]:
    """How the database would run each statement of `work`."""
    seen: list[tuple[str, Any]] = []
    sa.event.listen(connection, "before_cursor_execute", lambda *given: seen.append((given[2], given[3])))

    def watched(run: Callable[..., Any]) -> Callable[..., Any]:
        """What is prepared goes past SQLAlchemy."""

        def run_watched(prepared: Prepared, cursor: Any, **values: Any) -> Any:
            seen.append((prepared._text, prepared._arranged([values])))
            return run(prepared, cursor, **values)

        return run_watched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prepared, "fetch", watched(Prepared.fetch))
        patch.setattr(Prepared, "iterate", watched(Prepared.iterate))
        work()
    found = []
    cursor = connection.connection.cursor()
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        # Some thousand rows: it would read a whole table where it will not later.
        cursor.execute("SET LOCAL enable_seqscan = off")
    for text, values in seen:
        some = values[0] if isinstance(values, list) else values
        cursor.execute(f"{'EXPLAIN QUERY PLAN' if is_sqlite else 'EXPLAIN'} {text}", some)
        found.append(f"{text}\n" + "\n".join(str(row[3 if is_sqlite else 0]) for row in cursor.fetchall()))
    return found


def check(found: list[str], index: str) -> None:
    """Some statement uses the index, and none reads all of what may be many."""
    text = "\n\n".join(found)
    # SQLite has no other name for the order in which such a table is kept.
    text = text.replace("SEARCH places USING PRIMARY KEY (kind=? AND name=? AND key=?)", "USING INDEX places_pkey")
    text = re.sub(r"SEARCH (\w+_counts) USING PRIMARY KEY \(destination_key=\?", r"USING INDEX \1_pkey (", text)
    assert re.search(rf"USING (COVERING )?INDEX {index}\b|Index (Only )?Scan (Backward )?(using|on) {index}\b", text), (
        text
    )
    assert "TEMP B-TREE" not in text or index not in SORTED
    many = "events|deliveries|attempts|subjects|calls|activeflows|places|idempotency_keys|minute_counts|hour_counts"
    assert not re.search(rf"SCAN ({many})$", text, re.MULTILINE), text


# Of a thousand destinations, every hour.
COUNTED = (
    "INSERT INTO {table} (destination_key, starts_at, created, delivered_first, delivered_later, failed, exhausted, "
    "cancelled) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50), "
    "d(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM d WHERE k < 1000) "
    "SELECT k, i * 3600000000, 1, 0, 0, 0, 0, 0 FROM n, d"
)


class Full(NamedTuple):
    """A database with enough in it that a planner has something to think about."""

    url: str
    customer: str
    event_id: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Full:
    """One for all tests, which leave it as it is."""
    if request.param == "sqlite":
        url = sqlite_database(tmp_path_factory.mktemp("full") / "offhook.db")
    else:
        url = request.getfixturevalue("postgres").migrated_database()
    return asyncio.run(filled(url))


@pytest.fixture
async def store(full: Full) -> AsyncIterator[Store]:
    store = Store(Database(full.url))
    await store.start()
    yield store
    await store.stop()


class PlannedError(Exception):
    """Undoes what was done for the sake of its plans."""


async def filled(url: str) -> Full:
    store = Store(Database(url))
    await store.start()
    customer, other = [await new_customer(store) for _ in range(2)]
    for number in range(10):
        await publish(store, other, 600, f"order/{number}")
        ids = await publish(store, customer, 20, f"order/{number}")
    for table in ("minute_counts", "hour_counts"):
        await store.write(lambda tx, table=table: tx.connection.exec_driver_sql(COUNTED.format(table=table)))  # type: ignore[misc]
    done = sa.text("UPDATE deliveries SET status = 1 WHERE key % 20 <> 0")
    await store.write(lambda tx: tx.connection.execute(done))
    if not store.database.is_sqlite:
        await store.write(lambda tx: tx.connection.exec_driver_sql("ANALYZE"))
    await store.stop()
    return Full(url, customer, ids[0])


@pytest.mark.parametrize("name", READS)
async def test_reads_stay_on_their_index(store: Store, full: Full, name: str) -> None:
    query, index = READS[name]
    found = await store.read(
        lambda connection: plans(connection, lambda: query(connection, full.customer, full.event_id))
    )
    check(found, index)


@pytest.mark.parametrize("name", CHANGES)
async def test_background_work_stays_on_its_index(store: Store, full: Full, name: str) -> None:
    change, index = CHANGES[name]
    found: list[str] = []

    def planned(tx: Transaction) -> None:
        found[:] = plans(tx.connection, lambda: change(tx, full.customer, full.event_id))
        raise PlannedError

    with pytest.raises(PlannedError):
        await store.write(planned)
    check(found, index)
