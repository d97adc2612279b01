"""How a customer's webhook is doing, in numbers."""

from __future__ import annotations

import sqlalchemy as sa

from offhook.domain.delivery.delivery_log import WebhookNumbers
from offhook.store import schema
from offhook.store.queries.destinations import webhook_of
from offhook.store.queries.events import find_customer_key
from offhook.store.schema import DeliveryStatus, deliveries

# What one answer looks at: the newest deliveries, latencies among them, and what is pending.
_MAX_COUNTED = 50_000
_LATENCY_SAMPLE = 5_000
_MAX_PENDING = 1_000_000


def webhook_numbers(connection: sa.Connection, customer_id: str, *, since_us: int) -> WebhookNumbers:
    """The numbers since a point in time, or of the newest 50,000 deliveries, if there were more since.

    What waits is counted whenever it was created, up to a million. Raises NotFoundError.
    """
    webhook = webhook_of(connection, customer_id)
    customer_key = find_customer_key(connection, customer_id)
    start_us, counted = _newest(connection, customer_key, webhook.key, since_us)
    counts, attempt_count = _counts(connection, counted)
    waiting_count, oldest_us = _waiting(connection, customer_key, webhook.key)
    return WebhookNumbers(
        from_us=start_us,
        is_held=bool(webhook.held_reason),
        waiting_count=waiting_count,
        succeeded_count=counts.get(DeliveryStatus.SUCCEEDED, 0),
        exhausted_count=counts.get(DeliveryStatus.EXHAUSTED, 0),
        cancelled_count=counts.get(DeliveryStatus.CANCELLED, 0),
        attempt_count=attempt_count,
        latencies_ms=_latencies(connection, counted),
        oldest_waiting_us=oldest_us,
    )


def _newest(
    connection: sa.Connection, customer_key: int, destination_key: int, since_us: int
) -> tuple[int, list[sa.ColumnElement[bool]]]:
    """From when on deliveries are counted, and the conditions for them: by the index of the customer's."""
    of_customer = deliveries.c.customer_key == customer_key
    last = (
        sa.select(deliveries.c.key, deliveries.c.tm_create)
        .where(of_customer)
        .order_by(deliveries.c.key.desc())
        .offset(_MAX_COUNTED - 1)
        .limit(1)
    )
    row = connection.execute(last).first()
    start_us = since_us if row is None else max(since_us, row.tm_create)
    # The sum keeps the planner off what is pending of the destination.
    conditions = [of_customer, deliveries.c.destination_key + 0 == destination_key, deliveries.c.tm_create >= start_us]
    return start_us, conditions if row is None else [*conditions, deliveries.c.key >= row.key]


def _counts(connection: sa.Connection, counted: list[sa.ColumnElement[bool]]) -> tuple[dict[int, int], int]:
    """How many there are of each status, and how many attempts all of them had."""
    rows = connection.execute(
        sa.select(
            deliveries.c.status,
            sa.func.count().label("delivery_count"),
            sa.func.sum(deliveries.c.attempt_count).label("attempt_count"),
        )
        .where(*counted)
        .group_by(deliveries.c.status)
    ).all()
    return {row.status: row.delivery_count for row in rows}, sum(row.attempt_count for row in rows)


def _waiting(connection: sa.Connection, customer_key: int, destination_key: int) -> tuple[int, int | None]:
    """How many wait, and since when the oldest of them does."""
    waiting = sa.select(deliveries.c.key).where(deliveries.c.destination_key == destination_key, schema.IS_PENDING)
    some = waiting.limit(_MAX_PENDING).subquery()
    oldest = (
        sa.select(deliveries.c.tm_create)
        .where(
            deliveries.c.customer_key == customer_key,
            schema.IS_PENDING,
            deliveries.c.destination_key + 0 == destination_key,
        )
        .order_by(deliveries.c.key)
        .limit(1)
    )
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    return count, connection.execute(oldest).scalar()


def _latencies(connection: sa.Connection, counted: list[sa.ColumnElement[bool]]) -> list[int]:
    statement = (
        sa.select(deliveries.c.latency_ms)
        .where(*counted, deliveries.c.status == int(DeliveryStatus.SUCCEEDED))
        .order_by(deliveries.c.key.desc())
        .limit(_LATENCY_SAMPLE)
    )
    return sorted(latency for latency in connection.execute(statement).scalars() if latency is not None)
