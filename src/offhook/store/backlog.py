"""What the delivery engine reads: pending deliveries of one destination, in the order they are to be sent."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from offhook.domain.delivery import Delivery
from offhook.store import schema
from offhook.store.schema import deliveries, events, subjects

Cursor = tuple[int, int]
"""Due time and key of the last delivery that was read."""

START: Cursor = (0, 0)


def load_due(
    connection: sa.Connection, destination_key: int, *, after: Cursor, until_us: int, limit: int
) -> list[Delivery]:
    """Pending deliveries due by `until_us`, beyond the cursor, at most `limit`, in order of due time and key."""
    beyond = sa.tuple_(deliveries.c.due_at, deliveries.c.key) > sa.tuple_(
        sa.literal(after[0], sa.BigInteger), sa.literal(after[1], sa.BigInteger)
    )
    return _load(connection, destination_key, limit, beyond, deliveries.c.due_at <= until_us)


def load_holding(
    connection: sa.Connection, destination_key: int, *, now_us: int, failed_since_us: int, limit: int
) -> list[Delivery]:
    """Deliveries that wait for a retry and still hold their subject: what a start has to know before it sends."""
    return _load(
        connection,
        destination_key,
        limit,
        deliveries.c.due_at > now_us,
        deliveries.c.first_failed_at >= failed_since_us,
    )


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


_select: sa.Select[Any] = sa.select(
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
).select_from(
    deliveries.join(events, events.c.key == deliveries.c.event_key).outerjoin(
        subjects, subjects.c.key == events.c.subject_key
    )
)


def _load(
    connection: sa.Connection, destination_key: int, limit: int, *conditions: sa.ColumnElement[bool]
) -> list[Delivery]:
    statement = (
        _select.where(deliveries.c.destination_key == destination_key, schema.IS_PENDING, *conditions)
        .order_by(deliveries.c.due_at, deliveries.c.key)
        .limit(limit)
    )
    return [_delivery(row) for row in connection.execute(statement)]


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        key=row.key,
        destination_key=row.destination_key,
        event_id=row.id,
        subject=row.subject or "",
        sequence=row.sequence,
        position=row.position,
        payload=row.payload,
        family=row.type.partition("_")[0],
        created_us=row.tm_create,
        due_us=row.due_at,
        attempt_count=row.attempt_count,
        first_failed_us=row.first_failed_at,
    )
