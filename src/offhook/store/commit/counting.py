"""How a group's deliveries and attempts are counted: one row for each destination and minute.

They are counted in the transaction that writes them down, in its own minute: so they are counted exactly once, whatever
becomes of it, and never in a minute that is over. Of a destination's row the plain counts are added to by the
statement; what there are many kinds of (steps of latency, failures) is read, added to, and written back as one value.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.delivery.counts import MINUTE_US, Counts
from offhook.domain.delivery.delivery import AttemptRecord
from offhook.domain.delivery.outcome import Outcome
from offhook.store import schema
from offhook.store.database.prepared import Prepared, Values, driver_cursor

COUNTERS = ("created", "delivered_first", "delivered_later", "failed", "exhausted", "cancelled")
"""The columns that are plain counts."""


class _Attempts(msgspec.Struct, array_like=True):
    """A row's `attempts`."""

    first: dict[int, int]
    later: dict[int, int]
    failures: list[tuple[str, int | None, int]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Attempts).decode


def attempts_of(counts: Counts) -> bytes | None:
    """The value of `attempts` that says what was counted of them."""
    if not counts.has_attempts:
        return None
    failures = [(outcome, status_code, count) for (outcome, status_code), count in counts.failures.items()]
    return _encode(_Attempts(counts.first, counts.later, failures))


def add_attempts(counts: Counts, value: bytes | None) -> None:
    """Add what a row's `attempts` says."""
    if value is None:
        return
    attempts = _decode(value)
    failures = {(outcome, status_code): count for outcome, status_code, count in attempts.failures}
    counts.add(Counts(first=attempts.first, later=attempts.later, failures=failures))


def plain_counts(counts: Counts) -> dict[str, int]:
    """The values of `COUNTERS`, by name."""
    return {
        "created": counts.created,
        "delivered_first": counts.first_count,
        "delivered_later": counts.later_count,
        "failed": counts.failed_count,
        "exhausted": counts.exhausted,
        "cancelled": counts.cancelled,
    }


class _Statements:
    """For one dialect."""

    def __init__(self, dialect_name: str) -> None:
        module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect_name]
        minutes, totals = schema.minute_counts, schema.destination_totals

        def adding(*more: str) -> Prepared:
            upsert = module.insert(minutes)
            values = {name: minutes.c[name] + upsert.excluded[name] for name in COUNTERS}
            values |= {name: upsert.excluded[name] for name in more}
            statement = upsert.on_conflict_do_update(index_elements=["destination_key", "starts_at"], set_=values)
            return Prepared(statement, ("destination_key", "starts_at", *COUNTERS, *more), dialect_name)

        self.select_attempts = Prepared(
            sa.select(minutes.c.attempts).where(
                minutes.c.destination_key == sa.bindparam("of_key"), minutes.c.starts_at == sa.bindparam("of_minute")
            ),
            ("of_key", "of_minute"),
            dialect_name,
        )
        self.add = adding()
        self.add_with_attempts = adding("attempts")
        upsert = module.insert(totals)
        self.add_totals = Prepared(
            upsert.on_conflict_do_update(
                index_elements=["destination_key"],
                set_={
                    "pending": totals.c.pending + upsert.excluded.pending,
                    "last_created_at": sa.func.coalesce(upsert.excluded.last_created_at, totals.c.last_created_at),
                },
            ),
            ("destination_key", "pending", "last_created_at"),
            dialect_name,
        )


@cache
def _statements(dialect_name: str) -> _Statements:
    return _Statements(dialect_name)


class Counting:
    """What one group does, by destination. Lives on the writer's thread."""

    def __init__(self) -> None:
        self._counts: dict[int, Counts] = {}
        self._ended: dict[int, int] = {}

    def created(self, destination_key: int, count: int) -> None:
        """So many deliveries are there now that were not."""
        self._of(destination_key).created += count

    def cancelled(self, destination_key: int, count: int) -> None:
        """So many that were pending are cancelled."""
        self._of(destination_key).cancelled += count
        self._end(destination_key, count)

    def ended(self, destination_key: int, count: int) -> None:
        """So many that were pending are delivered, or given up."""
        self._end(destination_key, count)

    def exhausted(self, destination_key: int, count: int) -> None:
        """So many of those that ended are given up."""
        self._of(destination_key).exhausted += count

    def attempted(self, record: AttemptRecord) -> None:
        """An attempt ended."""
        counts = self._of(record.destination_key)
        if record.outcome is Outcome.SUCCEEDED:
            counts.succeeded(record.number, record.took_us)
        else:
            counts.failed((record.outcome.value, record.status_code))

    def write(self, connection: sa.Connection, now_us: int) -> None:
        """Add it to the rows of the present minute, and to the totals."""
        if not self._counts:
            return
        statements, cursor = _statements(connection.dialect.name), driver_cursor(connection)
        minute_us = now_us - now_us % MINUTE_US
        # In one order, so that two nodes cannot wait for each other.
        keys = sorted(self._counts)
        tried = [key for key in keys if self._counts[key].has_attempts]
        self._write_tried(statements, cursor, tried, minute_us)
        others = [key for key in keys if not self._counts[key].has_attempts]
        if others:
            statements.add.run_many(cursor, [self._row(key, minute_us) for key in others])
        totals = list(self._totals(keys, now_us))
        if totals:
            statements.add_totals.run_many(cursor, totals)

    def _write_tried(self, statements: _Statements, cursor: Any, keys: list[int], minute_us: int) -> None:
        if not keys:
            return
        found = statements.select_attempts.fetch_each(cursor, [{"of_key": key, "of_minute": minute_us} for key in keys])
        rows: list[Values] = []
        for key, there in zip(keys, found, strict=True):
            plain, counts = self._row(key, minute_us), self._counts[key]
            if there:
                add_attempts(counts, there[0][0])
            rows.append({**plain, "attempts": attempts_of(counts)})
        statements.add_with_attempts.run_many(cursor, rows)

    def _row(self, key: int, minute_us: int) -> dict[str, int]:
        return {"destination_key": key, "starts_at": minute_us, **plain_counts(self._counts[key])}

    def _totals(self, keys: Iterable[int], now_us: int) -> Iterable[Values]:
        for key in keys:
            created, ended = self._counts[key].created, self._ended.get(key, 0)
            if created or ended:
                yield {
                    "destination_key": key,
                    "pending": created - ended,
                    "last_created_at": now_us if created else None,
                }

    def _of(self, destination_key: int) -> Counts:
        counts = self._counts.get(destination_key)
        if counts is None:
            counts = self._counts[destination_key] = Counts()
        return counts

    def _end(self, destination_key: int, count: int) -> None:
        self._ended[destination_key] = self._ended.get(destination_key, 0) + count
