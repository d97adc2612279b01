"""How a customer's webhook is doing, in numbers."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from offhook.domain.times import from_us, rfc3339
from offhook.store import schema
from offhook.store.destinations import webhook_of
from offhook.store.events import find_customer_key
from offhook.store.schema import DeliveryStatus, deliveries

# What one answer looks at: the newest deliveries, latencies among them, and what is pending.
_MAX_COUNTED = 50_000
_LATENCY_SAMPLE = 5_000
_MAX_PENDING = 1_000_000


class WebhookStats(msgspec.Struct, frozen=True):
    """Counts of the deliveries created since `tm_from`; `success_rate` of those that ended (null if none did).

    `tm_from` is the beginning of what was asked for, or later if that holds more than the newest 50,000 deliveries.
    What is pending is counted whenever it was created, up to a million. Latencies in milliseconds, null without a
    success; `oldest_undelivered_age_s` in seconds, null if none waits.
    """

    tm_from: str
    pending: int
    held: int
    succeeded: int
    exhausted: int
    cancelled: int
    failed_attempts: int
    success_rate: float | None
    latency_p50_ms: int | None
    latency_p99_ms: int | None
    oldest_undelivered_age_s: float | None


def webhook_stats(connection: sa.Connection, customer_id: str, *, since_us: int, now_us: int) -> WebhookStats:
    """The numbers since a point in time. Raises NotFoundError."""
    webhook = webhook_of(connection, customer_id)
    customer_key = find_customer_key(connection, customer_id)
    start_us, counted = _newest(connection, customer_key, webhook.key, since_us)
    counts, attempt_count = _counts(connection, counted)
    pending, oldest = _pending(connection, customer_key, webhook.key)
    latencies = _latencies(connection, counted)
    succeeded, exhausted = counts.get(DeliveryStatus.SUCCEEDED, 0), counts.get(DeliveryStatus.EXHAUSTED, 0)
    ended = succeeded + exhausted
    return WebhookStats(
        tm_from=rfc3339(from_us(start_us)),
        pending=0 if webhook.held_reason else pending,
        held=pending if webhook.held_reason else 0,
        succeeded=succeeded,
        exhausted=exhausted,
        cancelled=counts.get(DeliveryStatus.CANCELLED, 0),
        # The last attempt of one that succeeded is the only one that did not fail.
        failed_attempts=attempt_count - succeeded,
        success_rate=round(succeeded / ended, 4) if ended else None,
        latency_p50_ms=_quantile(latencies, 0.50),
        latency_p99_ms=_quantile(latencies, 0.99),
        oldest_undelivered_age_s=None if oldest is None else round(max(0, now_us - oldest) / 1e6, 3),
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
        sa.select(deliveries.c.status, sa.func.count(), sa.func.sum(deliveries.c.attempt_count))
        .where(*counted)
        .group_by(deliveries.c.status)
    ).all()
    return {row[0]: row[1] for row in rows}, sum(row[2] for row in rows)


def _pending(connection: sa.Connection, customer_key: int, destination_key: int) -> tuple[int, int | None]:
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


def _quantile(ordered: list[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
