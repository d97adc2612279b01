"""What the delivery engine reads: pending deliveries of one destination, in the order they are to be sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from offhook.domain.delivery import Delivery
from offhook.store import schema
from offhook.store.schema import deliveries, destinations, events, subjects

Cursor = tuple[int, int]
"""Due time and key of the last delivery that was read."""

START: Cursor = (0, 0)


def load_due(
    connection: sa.Connection,
    destination_key: int,
    *,
    after: Cursor,
    until_us: int,
    limit: int,
    max_bytes: int = 2**62,
) -> list[Delivery]:
    """Pending deliveries due by `until_us`, beyond the cursor, in order of due time and key.

    At most `limit`, and no more after `max_bytes` of payload.
    """
    beyond = sa.tuple_(deliveries.c.due_at, deliveries.c.key) > sa.tuple_(
        sa.literal(after[0], sa.BigInteger), sa.literal(after[1], sa.BigInteger)
    )
    statement = _pending(destination_key, beyond, deliveries.c.due_at <= until_us).limit(limit)
    return _take(connection.execute(statement), max_bytes)


def load_holding(
    connection: sa.Connection, destination_key: int, *, failed_since_us: int, limit: int
) -> list[Delivery]:
    """Deliveries that failed a moment ago and hold their subject, without their payloads.

    A start has to know them before it sends. They are due after their failure: only so much of the backlog is read.
    """
    is_recent = (deliveries.c.due_at >= failed_since_us, deliveries.c.first_failed_at >= failed_since_us)
    light = [sa.literal(b"") if column is events.c.payload else column for column in _columns]
    statement = _pending(destination_key, *is_recent).with_only_columns(*light, maintain_column_froms=True).limit(limit)
    return [_delivery(row) for row in connection.execute(statement)]


def load_subject(
    connection: sa.Connection,
    destination_key: int,
    subject: str,
    *,
    place: tuple[int, int],
    limit: int,
    max_bytes: int = 2**62,
) -> tuple[list[Delivery], tuple[int, int] | None]:
    """Never tried deliveries of one subject from `place` (sequence, key) on, and the place beyond; None: no more."""
    subject_key = connection.execute(
        sa.select(subjects.c.key)
        .join(destinations, destinations.c.customer_key == subjects.c.customer_key)
        .where(destinations.c.key == destination_key, subjects.c.subject == subject)
    ).scalar()
    if subject_key is None:
        return [], None
    sequence, key = place
    statement = (
        _select.where(
            events.c.subject_key == subject_key,
            events.c.sequence >= sequence,
            sa.or_(events.c.sequence > sequence, deliveries.c.key >= key),
            # An expression keeps the planner from walking through everything that the destination has pending.
            deliveries.c.destination_key + 0 == destination_key,
            deliveries.c.attempt_count == 0,
            schema.IS_PENDING,
        )
        .order_by(events.c.sequence, deliveries.c.key)
        .limit(limit)
    )
    rows = _take(connection.execute(statement), max_bytes)
    is_last = len(rows) < limit and sum(len(row.payload) for row in rows) < max_bytes
    return rows, None if is_last else (rows[-1].sequence or 0, rows[-1].key + 1)


def next_due_us(connection: sa.Connection, destination_key: int, *, after_us: int) -> int | None:
    """When the first delivery due after `after_us` is due."""
    return connection.execute(
        sa.select(sa.func.min(deliveries.c.due_at)).where(
            deliveries.c.destination_key == destination_key, schema.IS_PENDING, deliveries.c.due_at > after_us
        )
    ).scalar()


def load_delivery(connection: sa.Connection, delivery_key: int) -> Delivery | None:
    """One pending delivery, with its payload."""
    row = connection.execute(_select.where(deliveries.c.key == delivery_key, schema.IS_PENDING)).one_or_none()
    return None if row is None else _delivery(row)


_columns = (
    deliveries.c.key,
    deliveries.c.destination_key,
    deliveries.c.due_at,
    deliveries.c.attempt_count,
    deliveries.c.first_failed_at,
    deliveries.c.tm_create,
    events.c.id,
    events.c.type,
    events.c.sequence,
    events.c.position,
    events.c.payload,
    subjects.c.subject,
)
_select: sa.Select[Any] = (
    sa.select(*_columns)
    .select_from(
        deliveries.join(events, events.c.key == deliveries.c.event_key).outerjoin(
            subjects, subjects.c.key == events.c.subject_key
        )
    )
    .where(~schema.IS_ERASING)
)


def _pending(destination_key: int, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return _select.where(deliveries.c.destination_key == destination_key, schema.IS_PENDING, *conditions).order_by(
        deliveries.c.due_at, deliveries.c.key
    )


def _take(rows: Iterable[sa.Row[Any]], max_bytes: int) -> list[Delivery]:
    taken: list[Delivery] = []
    byte_count = 0
    for row in rows:
        taken.append(_delivery(row))
        byte_count += len(taken[-1].payload)
        if byte_count >= max_bytes:
            break
    return taken


def _delivery(row: Iterable[Any]) -> Delivery:
    # By position: looked up by name, the columns cost more than the query.
    key, destination_key, due_us, attempt_count, failed_us, created_us, id_, type_, sequence, position, payload, of = (
        row
    )
    return Delivery(
        key,
        destination_key,
        id_,
        of or "",
        sequence,
        position,
        payload,
        type_.partition("_")[0],
        created_us,
        due_us,
        attempt_count,
        failed_us,
    )
