"""Deliveries and attempts are counted exactly once, whatever becomes of the commit that they are counted in.

A ledger beside the store notes what was done, in which minute, and is compared with the counters and the log itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from offhook.delivery.finishing import finish_cancelling
from offhook.delivery.log import erase_subject, replay, resend
from offhook.delivery.recorder import Recorder
from offhook.delivery.stepping import in_steps
from offhook.domain.delivery.counts import HOUR_US, MINUTE_US, Counts, rolled_up_before_us
from offhook.domain.delivery.delivery import AttemptRecord, Destination
from offhook.domain.delivery.latency import step_of
from offhook.domain.delivery.outcome import Outcome
from offhook.domain.errors import ConflictError, UnavailableError
from offhook.domain.events.replay import Replay
from offhook.node.clock import SteadyClock
from offhook.store import schema
from offhook.store.commit import counting
from offhook.store.commit.change import UnknownEndError
from offhook.store.commit.counting import COUNTERS, add_attempts, plain_counts
from offhook.store.commit.transaction import Transaction
from offhook.store.database.prepared import driver_cursor
from offhook.store.long_work.rolling_up import roll_up_step
from offhook.store.queries import destinations
from offhook.store.store import Store
from tests.delivery.node import until
from tests.running import Running
from tests.store.commit.test_group_commit import event, publish
from tests.store.commit.test_lost_commit import on  # noqa: F401 - a fixture
from tests.store.conftest import URI, new_customer, rows

PENDING = "SELECT key, tm_create, attempt_count FROM deliveries WHERE status = 0 ORDER BY key"
OUTCOMES = [
    (Outcome.REFUSED, None),
    (Outcome.CLIENT_ERROR, 404),
    (Outcome.CLIENT_ERROR, 403),
    (Outcome.TIMEOUT_RESPONSE, None),
]
Spans = dict[tuple[int, int], Counts]
"""What was counted, by destination and beginning."""


def counted(store: Store, table: str) -> Spans:
    spans: Spans = {}
    for row in rows(store, f"SELECT * FROM {table}"):
        found: Any = row
        counts = Counts(created=found.created, exhausted=found.exhausted, cancelled=found.cancelled)
        add_attempts(counts, None if found.attempts is None else bytes(found.attempts))
        # What can be asked of the columns alone is the same.
        assert plain_counts(counts) == {name: getattr(found, name) for name in COUNTERS}
        spans[found.destination_key, found.starts_at] = counts
    return spans


def by_hour(*several: Spans) -> Spans:
    hours: Spans = {}
    for spans in several:
        for (key, start), counts in spans.items():
            hours.setdefault((key, start - start % HOUR_US), Counts()).add(counts)
    return hours


def total_of(store: Store, key: int) -> int:
    found = rows(store, f"SELECT pending FROM destination_totals WHERE destination_key = {key}")
    return found[0][0] if found else 0


async def webhook_of(store: Store, customer: str) -> Destination:
    return await store.read(lambda connection: destinations.webhook_of(connection, customer))


def attempt(
    key: int, webhook: Destination, number: int, status: str, *, took_us: int = 80_000, kind: int = 0, at_us: int = 1
) -> AttemptRecord:
    outcome, status_code = (Outcome.SUCCEEDED, 200) if status == "succeeded" else OUTCOMES[kind]
    return AttemptRecord(
        delivery_key=key,
        destination_key=webhook.key,
        number=number,
        uri_key=webhook.uri_key,
        outcome=outcome,
        status_code=status_code,
        started_us=at_us,
        latency_ms=12,
        response=b"",
        status=status,
        due_us=at_us,
        first_failed_us=at_us,
        ended_us=at_us + 1,
        took_us=took_us,
    )


class Ledger:
    """Does things to a customer's deliveries, and notes what that should count."""

    def __init__(self, store: Store, customer: str, webhook: Destination, luck: random.Random) -> None:
        self.store, self.customer, self.webhook, self.luck = store, customer, webhook, luck
        self.minutes: Spans = {}
        self.clock_us = 0

    async def write(self, change: Callable[[Transaction], Counts]) -> None:
        """Commit, however often it is refused, and note what was counted in the minute of the commit."""

        def timed(tx: Transaction) -> tuple[int, Counts]:
            return tx.now_us, change(tx)

        while True:
            try:
                now_us, counts = await self.store.write(timed)
            except UnknownEndError:
                raise
            except UnavailableError:
                await self.stumble()
                continue
            return self.note(now_us, counts)

    def note(self, now_us: int, counts: Counts) -> None:
        self.minutes.setdefault((self.webhook.key, now_us - now_us % MINUTE_US), Counts()).add(counts)

    async def publish(self) -> None:
        count, subject = self.luck.randint(1, 5), f"order/{self.luck.randint(1, 3)}"

        def change(tx: Transaction) -> Counts:
            for number in range(count):
                tx.add_event(event(self.customer, subject, number=number))
            return Counts(created=count)

        await self.write(change)

    async def attempt(self) -> None:
        """Some attempts end, in one commit."""
        pending: list[Any] = rows(self.store, PENDING)
        chosen = self.luck.sample(pending, min(len(pending), self.luck.randint(1, 6)))
        records = [self._record(row) for row in chosen]

        def change(tx: Transaction) -> Counts:
            counts = Counts()
            for record in records:
                tx.record(record)
                counts.exhausted += record.status == "exhausted"
                if record.status == "succeeded":
                    steps = counts.first if record.number == 1 else counts.later
                    steps[step_of(record.took_us)] = steps.get(step_of(record.took_us), 0) + 1
                else:
                    counts.failed((record.outcome.value, record.status_code))
            return counts

        await self.write(change)

    def _record(self, row: Any) -> AttemptRecord:
        status = self.luck.choice(["succeeded", "succeeded", "pending", "pending", "exhausted"])
        return attempt(
            *(row.key, self.webhook, row.attempt_count + 1, status),
            took_us=int(10 ** self.luck.uniform(2, 11)),
            kind=self.luck.randrange(len(OUTCOMES)),
            at_us=self.store.clock.now_us(),
        )

    async def fail(self) -> None:
        """A change that counts something and then fails leaves no trace."""

        def change(tx: Transaction) -> Counts:
            tx.add_event(event(self.customer))
            tx.count(self.webhook.key, created=5, cancelled=3)
            raise ConflictError("no")

        with pytest.raises(ConflictError):
            await self.write(change)

    async def erase(self) -> None:
        subject = f"order/{self.luck.randint(1, 3)}"
        of_subject = (
            "SELECT count(*) FROM deliveries d JOIN events e ON e.key = d.event_key JOIN subjects s "
            f"ON s.key = e.subject_key WHERE d.status = 0 AND s.subject = '{subject}'"
        )
        await self._in_steps(lambda: erase_subject(self.store, self.customer, subject), of_subject, "cancelled")

    async def replay(self) -> None:
        every = "SELECT count(*) FROM deliveries"
        await self._in_steps(lambda: replay(self.store, self.customer, Replay(after=0)), every, "created")

    async def resend(self) -> None:
        found: list[Any] = rows(self.store, "SELECT id FROM events WHERE length(payload) > 0")
        if found:
            one = self.luck.choice(found).id
            await self._in_steps(
                lambda: self.store.write(lambda tx: resend(tx, self.customer, one)),
                "SELECT count(*) FROM deliveries",
                "created",
            )

    async def _in_steps(self, work: Callable[[], Any], question: str, name: str) -> None:
        """Work of more than one commit: it takes no minute, and how many it was about is asked of the log."""
        before: Any = rows(self.store, question)[0][0]
        while True:
            try:
                await work()
            except UnknownEndError:
                raise
            except UnavailableError:
                await self.stumble()
                continue
            break
        after: Any = rows(self.store, question)[0][0]
        self.note(self.store.clock.now_us(), Counts(**{name: abs(after - before)}))

    async def wait(self) -> None:
        """Time passes: seconds, minutes, hours, days."""
        self.store.clock = SteadyClock(
            self.store.clock.now_us() + int(10 ** self.luck.uniform(6, 11.5)) // MINUTE_US * MINUTE_US
        )

    async def roll_up(self) -> None:
        while True:
            try:
                before_us = rolled_up_before_us(self.store.clock.now_us())
                return await in_steps(self.store, roll_up_step, before_us)
            except UnknownEndError:
                raise
            except UnavailableError:
                await self.stumble()

    async def stumble(self) -> None:
        """Every third commit is lost: let it not always be the last one of some work."""
        for _ in range(self.luck.randint(0, 2)):
            with suppress(UnavailableError):
                await self.store.write(lambda tx: None)
        await asyncio.sleep(0.01)

    def check(self) -> None:
        """The counters say what the ledger says; and the ledger what the log says."""
        minutes, hours = counted(self.store, "minute_counts"), counted(self.store, "hour_counts")
        nothing = Counts()
        assert by_hour(minutes, hours) == {k: v for k, v in by_hour(self.minutes).items() if v != nothing}
        total = Counts()
        for counts in self.minutes.values():
            total.add(counts)
        states = Counter(dict(rows(self.store, "SELECT status, count(*) FROM deliveries GROUP BY status")))
        assert total_of(self.store, self.webhook.key) == states[0]
        assert total.created == states.total()
        assert (total.succeeded_count, total.exhausted, total.cancelled) == (states[1], states[2], states[3])
        kept = Counter(
            {
                (row[0], row[1]): row[2]
                for row in rows(self.store, "SELECT outcome, status_code, count(*) FROM attempts GROUP BY 1, 2")
            }
        )
        # What was erased has no attempts any more.
        assert not kept - Counter(total.failures)


async def drive(ledger: Ledger, steps: int, *, in_one_commit: bool = False) -> None:
    """Random things; `in_one_commit` only those that need no more than one, or go on where they were."""
    things = [ledger.publish] * 5 + [ledger.attempt] * 8 + [ledger.fail] * 2 + [ledger.wait] * 4 + [ledger.roll_up] * 2
    things += [ledger.resend] if in_one_commit else [ledger.resend, ledger.erase, ledger.replay]
    for _ in range(steps):
        await ledger.luck.choice(things)()


@pytest.mark.parametrize("seed", range(4))
async def test_the_counters_are_what_the_ledger_says_over_minutes_groups_and_hours(
    store: Store, customer: str, seed: int
) -> None:
    ledger = Ledger(store, customer, await webhook_of(store, customer), random.Random(seed))
    await drive(ledger, 120)
    ledger.check()
    await ledger.wait()
    store.clock = SteadyClock(store.clock.now_us() + 9 * 24 * HOUR_US)
    await ledger.roll_up()
    assert counted(store, "minute_counts") == {}
    ledger.check()


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_commit_whose_answer_was_lost_is_counted_once(
    on: Callable[..., Any],  # noqa: F811
    carried_out: bool,
) -> None:
    async with on(carried_out=carried_out) as losing:
        store: Store = losing.store
        customer = await new_customer(store)
        ledger = Ledger(store, customer, await webhook_of(store, customer), random.Random(carried_out))
        losing.lose(True)
        await drive(ledger, 60, in_one_commit=True)
        losing.lose(False)
        assert losing.lost_count() >= 3
        ledger.check()


async def test_what_is_counted_is_of_the_minute_of_the_commit(store: Store, customer: str) -> None:
    webhook = await webhook_of(store, customer)
    await publish(store, customer, 3)
    first, second, third = (row[0] for row in rows(store, PENDING))
    store.clock = SteadyClock(store.clock.now_us() + 2 * MINUTE_US)

    def change(tx: Transaction) -> int:
        tx.record(attempt(first, webhook, 1, "succeeded", took_us=2_000))
        tx.record(attempt(second, webhook, 2, "succeeded", took_us=9_000_000))
        tx.record(attempt(third, webhook, 1, "pending", kind=1))
        return tx.now_us

    now_us = await store.write(change)
    minutes = counted(store, "minute_counts")
    assert minutes.pop((webhook.key, now_us - now_us % MINUTE_US)) == Counts(
        first={step_of(2_000): 1}, later={step_of(9_000_000): 1}, failures={("client_error", 404): 1}
    )
    assert list(minutes.values()) == [Counts(created=3)]


async def test_a_group_writes_each_destinations_row_once_and_reads_only_what_it_meets_for_the_first_time(
    store: Store, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, int]] = []
    statements = counting._statements(store.database.writer.dialect.name)

    def noting(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def run_noting(cursor: Any, some: Any) -> Any:
            ran.append((name, len(some)))
            return run(cursor, some)

        return run_noting

    for name, prepared in (("insert", statements.insert), ("update", statements.update)):
        monkeypatch.setattr(prepared, "run_many", noting(name, prepared.run_many))
    monkeypatch.setattr(statements.select, "fetch_each", noting("read", statements.select.fetch_each))
    minute_us = store.clock.now_us() // MINUTE_US * MINUTE_US
    store.clock = SteadyClock(minute_us + 5 * MINUTE_US)
    other = await new_customer(store)

    def change(*customers: str) -> Callable[[Transaction], None]:
        def add(tx: Transaction) -> None:
            for number in range(50):
                for one in customers:
                    tx.add_event(event(one, number=number))

        return add

    await store.write(change(customer))
    await store.write(change(customer, other))
    await store.write(change(customer, other))
    assert ran == [("read", 1), ("insert", 1), ("read", 1), ("insert", 1), ("update", 1), ("update", 2)]
    assert sorted(counts.created for counts in counted(store, "minute_counts").values()) == [100, 150]


async def test_an_attempt_at_what_was_cancelled_meanwhile_ends_nothing(store: Store, customer: str) -> None:
    webhook = await webhook_of(store, customer)
    await publish(store, customer, 2)
    (cancelled, other) = (row[0] for row in rows(store, PENDING))

    def cancel(tx: Transaction) -> None:
        tx.add_write(sa.update(schema.deliveries).where(schema.deliveries.c.key == cancelled).values(status=3))
        tx.count(webhook.key, cancelled=1)

    await store.write(cancel)
    at_us = store.clock.now_us()

    def change(tx: Transaction) -> None:
        tx.record(attempt(cancelled, webhook, 1, "succeeded", at_us=at_us))
        tx.record(attempt(other, webhook, 1, "exhausted", at_us=at_us))

    await store.write(change)
    assert total_of(store, webhook.key) == 0
    (counts,) = by_hour(counted(store, "minute_counts")).values()
    # The receiver had it all the same.
    assert (counts.first_count, counts.exhausted, counts.cancelled) == (1, 1, 1)


async def test_a_deleted_customers_deliveries_are_counted_as_cancelled(store: Store, customer: str) -> None:
    webhook = await webhook_of(store, customer)
    await publish(store, customer, 7)
    await store.write(lambda tx: destinations.cancel_customer(tx, customer))
    await finish_cancelling(store)
    (counts,) = by_hour(counted(store, "minute_counts")).values()
    assert (counts.created, counts.cancelled, total_of(store, webhook.key)) == (7, 7, 0)


@pytest.mark.parametrize("was_committed", [True, False])
async def test_what_is_recorded_again_as_nobody_knew_is_counted_once(
    store: Store, customer: str, monkeypatch: pytest.MonkeyPatch, was_committed: bool
) -> None:
    webhook = await webhook_of(store, customer)
    await publish(store, customer, 4)
    keys = [row[0] for row in rows(store, PENDING)]
    write = store.write
    lost: list[int] = []

    async def losing(change: Any) -> Any:
        """The first group's end is not known."""
        if lost:
            return await write(change)
        lost.append(1)
        if was_committed:
            await write(change)
        raise UnknownEndError("The answer was lost.")

    monkeypatch.setattr(store, "write", losing)
    monkeypatch.setattr("offhook.delivery.recorder._RETRY_S", 0.01)
    running = Running()
    recorder = await running.add(Recorder(store, timedelta(seconds=10)))
    statuses = ["succeeded", "exhausted", "pending", "succeeded"]
    for key, status in zip(keys, statuses, strict=True):
        recorder.add(attempt(key, webhook, 1, status, at_us=store.clock.now_us()))
    await until(lambda: not recorder.unwritten_count, "all is written")
    await running.stop()
    (counts,) = by_hour(counted(store, "minute_counts")).values()
    assert (counts.first_count, counts.exhausted, counts.failed_count) == (2, 1, 2)
    assert total_of(store, webhook.key) == 1


async def test_several_destinations_are_counted_apart(store: Store, customer: str) -> None:
    other = await new_customer(store, URI + "/other")
    await publish(store, customer, 2)
    await publish(store, other, 3)
    await publish(store, customer, 2)
    expected = {(await webhook_of(store, customer)).key: 4, (await webhook_of(store, other)).key: 3}
    found = {key: counts.created for (key, _), counts in by_hour(counted(store, "minute_counts")).items()}
    assert found == expected == dict(rows(store, "SELECT destination_key, pending FROM destination_totals"))


async def test_what_was_rolled_back_to_a_savepoint_is_not_counted(
    store: Store, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a unit that is run apart cannot be written, and its neighbours can."""
    webhook = await webhook_of(store, customer)
    statements = counting._statements(store.database.writer.dialect.name)
    present = counting.PresentMinute()

    def count(tx: Transaction, created: int) -> None:
        one = counting.Counting(present)
        one.created(webhook.key, created)
        one.write(driver_cursor(tx.connection), tx.connection.dialect.name, tx.now_us)

    def fail(cursor: Any, some: Any) -> int:
        raise OSError("the disk is full")

    def change(tx: Transaction) -> None:
        tx.connection.exec_driver_sql("SAVEPOINT apart")
        with monkeypatch.context() as broken:
            broken.setattr(statements.add_totals, "run_many", fail)
            with pytest.raises(OSError, match="full"):
                count(tx, 5)
        tx.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT apart")
        count(tx, 2)

    await store.write(change)
    assert [counts.created for counts in counted(store, "minute_counts").values()] == [2]
