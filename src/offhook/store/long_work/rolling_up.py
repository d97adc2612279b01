"""Counts of minutes become counts of hours, and those are forgotten in the end: a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from offhook.domain.delivery.counts import HOUR_US, Counts
from offhook.store.commit.counting import add_attempts, attempts_of, plain_counts
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.steps import BATCH, in_batches
from offhook.store.schema import hour_counts, minute_counts

Span = tuple[int, int]
"""A destination's key, and the beginning of an hour."""


def roll_up_step(tx: Transaction, before_us: int) -> int | None:
    """Add minutes that began before a full hour to their hours. Returns `before_us` while there may be more."""
    return in_batches(lambda _: _roll_up(tx, before_us), before_us)


def forget_hours_step(tx: Transaction, before_us: int) -> int | None:
    """Forget hours that began before a moment. Returns `before_us` while there may be more."""
    return in_batches(lambda _: _forget(tx, before_us), before_us)


def _roll_up(tx: Transaction, before_us: int) -> int | None:
    old = sa.select(minute_counts).where(minute_counts.c.starts_at < before_us)
    rows = tx.reader.execute(old.order_by(minute_counts.c.starts_at).limit(BATCH)).all()
    if not rows:
        return None
    hours: dict[Span, Counts] = {}
    for row in rows:
        _add(hours.setdefault((row.destination_key, row.starts_at - row.starts_at % HOUR_US), Counts()), row)
    for row in _rows_at(tx, hour_counts, hours):
        _add(hours[row.destination_key, row.starts_at], row)
    _delete(tx, hour_counts, hours)
    _delete(tx, minute_counts, [(row.destination_key, row.starts_at) for row in rows])
    tx.connection.execute(sa.insert(hour_counts), [_row(span, counts) for span, counts in hours.items()])
    return before_us if len(rows) == BATCH else None


def _forget(tx: Transaction, before_us: int) -> int | None:
    old = sa.select(hour_counts.c.destination_key, hour_counts.c.starts_at).where(hour_counts.c.starts_at < before_us)
    spans = [(row[0], row[1]) for row in tx.reader.execute(old.order_by(hour_counts.c.starts_at).limit(BATCH))]
    if not spans:
        return None
    _delete(tx, hour_counts, spans)
    return before_us if len(spans) == BATCH else None


def _add(counts: Counts, row: sa.Row[Any]) -> None:
    counts.add(Counts(created=row.created, exhausted=row.exhausted, cancelled=row.cancelled))
    add_attempts(counts, row.attempts)


def _row(span: Span, counts: Counts) -> dict[str, Any]:
    plain = plain_counts(counts)
    return {"destination_key": span[0], "starts_at": span[1], **plain, "attempts": attempts_of(counts)}


def _rows_at(tx: Transaction, table: sa.Table, spans: Iterable[Span]) -> list[sa.Row[Any]]:
    statement = sa.select(table).where(*_at(table))
    found = (tx.reader.execute(statement, {"of_key": key, "of_start": start}).all() for key, start in spans)
    return [row for rows in found for row in rows]


def _delete(tx: Transaction, table: sa.Table, spans: Iterable[Span]) -> None:
    rows = [{"of_key": key, "of_start": start} for key, start in spans]
    tx.connection.execute(sa.delete(table).where(*_at(table)), rows)


def _at(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [
        table.c.destination_key == sa.bindparam("of_key", type_=sa.BigInteger),
        table.c.starts_at == sa.bindparam("of_start", type_=sa.BigInteger),
    ]
