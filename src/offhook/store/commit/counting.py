"""How a group's deliveries and attempts are counted: one row for each destination and minute.

They are counted in the transaction that writes them down, in its own minute: so they are counted exactly once, whatever
becomes of it, and never in a minute that is over. The rows of the present minute are known to the writer
(`PresentMinute`), which writes them anew; it reads one only when it meets a destination for the first time in a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.delivery.counts import MINUTE_US, Counts
from offhook.domain.delivery.delivery import AttemptRecord
from offhook.domain.delivery.outcome import Outcome
from offhook.store import schema
from offhook.store.database.prepared import Prepared, Values

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


def _values(counts: Counts) -> dict[str, Any]:
    return {**plain_counts(counts), "attempts": attempts_of(counts)}


class _Statements:
    """For one dialect."""

    def __init__(self, dialect_name: str) -> None:
        module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect_name]
        minutes, totals = schema.minute_counts, schema.destination_totals
        values = (*COUNTERS, "attempts")
        is_row = sa.and_(
            minutes.c.destination_key == sa.bindparam("of_key"), minutes.c.starts_at == sa.bindparam("of_minute")
        )
        self.select = Prepared(
            sa.select(minutes.c.created, minutes.c.exhausted, minutes.c.cancelled, minutes.c.attempts).where(is_row),
            ("of_key", "of_minute"),
            dialect_name,
        )
        self.insert = Prepared(sa.insert(minutes), ("destination_key", "starts_at", *values), dialect_name)
        self.update = Prepared(
            sa.update(minutes).where(is_row).values({name: sa.bindparam(name) for name in values}),
            (*values, "of_key", "of_minute"),
            dialect_name,
        )
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


class _Found(NamedTuple):
    """A row as `_Statements.select` finds it; its fields are the columns."""

    created: int
    exhausted: int
    cancelled: int
    attempts: bytes | None


class PresentMinute:
    """The rows of the present minute, as far as they are known. One per writer, as keys are.

    They are changed as the database's are: if that is not committed, they have to be forgotten.
    """

    def __init__(self) -> None:
        self._starts_at = 0
        self._rows: dict[int, Counts] = {}

    def forget(self) -> None:
        """What was written may have been rolled back, or somebody else have written."""
        self._rows.clear()

    def rows(self, minute_us: int) -> dict[int, Counts]:
        """Of that minute, by destination; what is not there is not known."""
        if minute_us != self._starts_at:
            self._starts_at = minute_us
            self._rows.clear()
        return self._rows


class Counting:
    """What one group does, by destination. Lives on the writer's thread."""

    def __init__(self, present: PresentMinute) -> None:
        self._present = present
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

    def write(self, cursor: Any, dialect_name: str, now_us: int) -> None:
        """Write it to the rows of the present minute, and to the totals, by the driver's own cursor."""
        if not self._counts:
            return
        statements = _statements(dialect_name)
        # In one order, so that two nodes cannot wait for each other.
        keys = sorted(self._counts)
        try:
            self._write_minute(statements, cursor, keys, now_us - now_us % MINUTE_US)
            totals = list(self._totals(keys, now_us))
            if totals:
                statements.add_totals.run_many(cursor, totals)
        except BaseException:
            # It may be rolled back to a savepoint, and the transaction be committed all the same.
            self._present.forget()
            raise

    def _write_minute(self, statements: _Statements, cursor: Any, keys: Sequence[int], minute_us: int) -> None:
        rows = self._present.rows(minute_us)
        unknown = [key for key in keys if key not in rows]
        new = self._read(statements, cursor, unknown, minute_us) if unknown else set()
        for key in keys:
            rows[key].add(self._counts[key])
        if new:
            made = [{"destination_key": key, "starts_at": minute_us, **_values(rows[key])} for key in sorted(new)]
            statements.insert.run_many(cursor, made)
        changed = [{"of_key": key, "of_minute": minute_us, **_values(rows[key])} for key in keys if key not in new]
        if changed:
            statements.update.run_many(cursor, changed)

    def _read(self, statements: _Statements, cursor: Any, keys: Sequence[int], minute_us: int) -> set[int]:
        """Learn what is in these rows; those that are not there."""
        rows = self._present.rows(minute_us)
        found = statements.select.fetch_each(cursor, [{"of_key": key, "of_minute": minute_us} for key in keys])
        for key, there in zip(keys, found, strict=True):
            rows[key] = counts = Counts()
            for one in map(_Found._make, there):
                counts.created, counts.exhausted, counts.cancelled = one.created, one.exhausted, one.cancelled
                add_attempts(counts, one.attempts)
        return {key for key, there in zip(keys, found, strict=True) if not there}

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
