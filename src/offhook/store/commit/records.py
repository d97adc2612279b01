"""How a group's attempts are written: the delivery's end or its next try, and a row for each that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.delivery.delivery import AttemptRecord
from offhook.domain.delivery.outcome import Outcome
from offhook.store import schema
from offhook.store.commit.counting import Counting
from offhook.store.database.prepared import Prepared, Values
from offhook.store.schema import DeliveryStatus

_STATUS = {
    "pending": int(DeliveryStatus.PENDING),
    "succeeded": int(DeliveryStatus.SUCCEEDED),
    "exhausted": int(DeliveryStatus.EXHAUSTED),
}


class _Statements:
    """For one dialect."""

    def __init__(self, dialect_name: str) -> None:
        module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect_name]
        uri_key, destination_key = schema.destinations.c.uri_key, schema.destinations.c.key

        def update(table: sa.Table, where: sa.ColumnElement[bool], *names: str) -> Prepared:
            statement = sa.update(table).where(where).values({name: sa.bindparam(name) for name in names})
            return Prepared(statement, (*names, "for_key"), dialect_name)

        # One that is there already was written by a commit whose answer was lost.
        self.insert_attempts = Prepared(
            module.insert(schema.attempts).on_conflict_do_nothing(),
            (
                *("delivery_key", "number", "uri_key", "outcome", "status_code", "started_at", "latency_ms"),
                *("response", "detail"),
            ),
            dialect_name,
        )
        # What a receiver answered while its subject was being erased would bring back what is gone.
        self.drop_cancelled = Prepared(
            sa.delete(schema.attempts).where(
                schema.attempts.c.delivery_key == sa.bindparam("for_key"),
                ~sa.exists().where(
                    schema.deliveries.c.key == sa.bindparam("for_key"),
                    schema.deliveries.c.status != sa.text(str(int(DeliveryStatus.CANCELLED))),
                ),
            ),
            ("for_key",),
            dialect_name,
        )
        # The status is asked for again: a delivery cancelled while an attempt was under way stays cancelled.
        is_pending = sa.and_(schema.deliveries.c.key == sa.bindparam("for_key"), schema.IS_PENDING)
        self.end_delivery = update(
            schema.deliveries,
            is_pending,
            *("status", "attempt_count", "last_outcome", "last_status_code", "uri_key", "started_at", "latency_ms"),
            *("response", "tm_done"),
        )
        self.postpone_delivery = update(
            schema.deliveries,
            is_pending,
            *("attempt_count", "last_outcome", "last_status_code", "due_at", "first_failed_at"),
        )
        columns = schema.deliveries.c
        self.select_end = Prepared(
            sa.select(columns.status, columns.tm_done).where(columns.key == sa.bindparam("of_key")),
            ("of_key",),
            dialect_name,
        )
        self.select_attempt = Prepared(
            sa.select(schema.attempts.c.number).where(
                schema.attempts.c.delivery_key == sa.bindparam("of_key"),
                schema.attempts.c.number == sa.bindparam("of_number"),
            ),
            ("of_key", "of_number"),
            dialect_name,
        )
        self.select_uri = Prepared(
            sa.select(uri_key).where(destination_key == sa.bindparam("of_key")), ("of_key",), dialect_name
        )
        self.make_due = Prepared(
            sa.update(schema.deliveries).where(is_pending).values(due_at=schema.deliveries.c.tm_create),
            ("for_key",),
            dialect_name,
        )


@cache
def _statements(dialect_name: str) -> _Statements:
    return _Statements(dialect_name)


def write_records(cursor: Any, dialect_name: str, records: Sequence[AttemptRecord], counting: Counting) -> set[int]:
    """Write how these attempts ended, and count them, by the driver's own cursor.

    Returns the destinations some of whose deliveries became due in the past.
    """
    statements = _statements(dialect_name)
    if any(record.may_be_written for record in records):
        records = [one for one in records if not (one.may_be_written and _is_written(statements, cursor, one))]
    for record in records:
        counting.attempted(record)
    failed = [record for record in records if record.status != "succeeded"]
    if failed:
        statements.insert_attempts.run_many(cursor, [_attempt_row(record) for record in failed])
        statements.drop_cancelled.run_many(cursor, [{"for_key": record.delivery_key} for record in failed])
    moved = _failed_elsewhere(statements, cursor, failed)
    ended = [record for record in records if _ends(record, moved)]
    if ended:
        _end(statements, cursor, ended, counting)
    postponed = [record for record in failed if not _ends(record, moved)]
    if postponed:
        statements.postpone_delivery.run_many(cursor, [_postpone_row(record) for record in postponed])
    if moved:
        statements.make_due.run_many(cursor, [{"for_key": key} for key in moved])
    return {record.destination_key for record in moved.values()}


def _end(statements: _Statements, cursor: Any, ended: Sequence[AttemptRecord], counting: Counting) -> None:
    """End deliveries, those that were not cancelled meanwhile, and count them."""
    count = statements.end_delivery.run_many(cursor, [_end_row(record) for record in ended])
    if count != len(ended):
        found = statements.select_end.fetch_each(cursor, [{"of_key": record.delivery_key} for record in ended])
        ended = [
            record
            for record, rows in zip(ended, found, strict=True)
            if (_STATUS[record.status], record.ended_us) in rows
        ]
    for destination_key, how_many in Counter(record.destination_key for record in ended).items():
        counting.ended(destination_key, how_many)
    for destination_key, how_many in Counter(one.destination_key for one in ended if one.status == "exhausted").items():
        counting.exhausted(destination_key, how_many)


def _is_written(statements: _Statements, cursor: Any, record: AttemptRecord) -> bool:
    """Whether the commit that it was given to before was one."""
    if record.status == "succeeded":
        ended = statements.select_end.fetch(cursor, of_key=record.delivery_key)
        return (_STATUS[record.status], record.ended_us) in ended
    return bool(statements.select_attempt.fetch(cursor, of_key=record.delivery_key, of_number=record.number))


def _failed_elsewhere(
    statements: _Statements, cursor: Any, failed: Sequence[AttemptRecord]
) -> dict[int, AttemptRecord]:
    """What failed last at another uri than its destination has now: it waits for nothing, and is not given up."""
    keys = sorted({record.destination_key for record in failed})
    found = statements.select_uri.fetch_each(cursor, [{"of_key": key} for key in keys])
    uri_of = {key: uri_key for key, rows in zip(keys, found, strict=True) for (uri_key,) in rows}
    last = {record.delivery_key: record for record in failed}
    return {key: record for key, record in last.items() if uri_of.get(record.destination_key) != record.uri_key}


def _ends(record: AttemptRecord, moved: Container[int]) -> bool:
    return record.status == "succeeded" or (record.status == "exhausted" and record.delivery_key not in moved)


def _attempt_row(record: AttemptRecord) -> Values:
    return {
        "delivery_key": record.delivery_key,
        "number": record.number,
        "uri_key": record.uri_key,
        "outcome": record.outcome.value,
        "status_code": record.status_code,
        "started_at": record.started_us,
        "latency_ms": record.latency_ms,
        "response": record.response,
        "detail": record.detail or None,
    }


def _end_row(record: AttemptRecord) -> Values:
    # What a failed last attempt found is in `attempts` already.
    has_succeeded = record.outcome is Outcome.SUCCEEDED
    return {
        "for_key": record.delivery_key,
        "status": _STATUS[record.status],
        "attempt_count": record.number,
        "last_outcome": record.outcome.value,
        "last_status_code": record.status_code,
        "uri_key": record.uri_key,
        "started_at": record.started_us if has_succeeded else None,
        "latency_ms": record.latency_ms if has_succeeded else None,
        "response": record.response if has_succeeded else None,
        "tm_done": record.ended_us,
    }


def _postpone_row(record: AttemptRecord) -> Values:
    return {
        "for_key": record.delivery_key,
        "attempt_count": record.number,
        "last_outcome": record.outcome.value,
        "last_status_code": record.status_code,
        "due_at": record.due_us,
        "first_failed_at": record.first_failed_us,
    }
