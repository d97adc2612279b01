"""How a customer's webhook is doing, in numbers."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from offhook.domain.delivery import Destination
from offhook.store import schema
from offhook.store.destinations import webhook_of
from offhook.store.schema import DeliveryStatus, attempts, customers, deliveries

# Latencies are taken from the newest deliveries that ended well, at most this many.
_LATENCY_SAMPLE = 5_000


class WebhookStats(msgspec.Struct, frozen=True):
    """Counts of the deliveries created in the window; `success_rate` of those that ended (null if none did).

    Latencies in milliseconds, null without a success; `oldest_undelivered_age_s` in seconds, null if none waits.
    """

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
    """The numbers since a point in time. What is pending is counted whenever it was created. Raises NotFoundError."""
    webhook = webhook_of(connection, customer_id)
    counts = _counts(connection, _of(webhook), since_us)
    pending, oldest = _pending(connection, webhook.key)
    latencies = _latencies(connection, _of(webhook), since_us)
    succeeded, exhausted = counts.get(DeliveryStatus.SUCCEEDED, 0), counts.get(DeliveryStatus.EXHAUSTED, 0)
    ended = succeeded + exhausted
    return WebhookStats(
        pending=0 if webhook.held_reason else pending,
        held=pending if webhook.held_reason else 0,
        succeeded=succeeded,
        exhausted=exhausted,
        cancelled=counts.get(DeliveryStatus.CANCELLED, 0),
        failed_attempts=_failed_attempts(connection, _of(webhook), since_us),
        success_rate=round(succeeded / ended, 4) if ended else None,
        latency_p50_ms=_quantile(latencies, 0.50),
        latency_p99_ms=_quantile(latencies, 0.99),
        oldest_undelivered_age_s=None if oldest is None else round(max(0, now_us - oldest) / 1e6, 3),
    )


def _of(webhook: Destination) -> sa.ColumnElement[bool]:
    """The webhook's deliveries, named by the customer too: that is what they are indexed by."""
    customer_key = sa.select(customers.c.key).where(customers.c.id == webhook.customer_id).scalar_subquery()
    return sa.and_(deliveries.c.customer_key == customer_key, deliveries.c.destination_key == webhook.key)


def _counts(connection: sa.Connection, of_webhook: sa.ColumnElement[bool], since_us: int) -> dict[int, int]:
    rows = connection.execute(
        sa.select(deliveries.c.status, sa.func.count())
        .where(of_webhook, deliveries.c.tm_create >= since_us)
        .group_by(deliveries.c.status)
    )
    return {row[0]: row[1] for row in rows}


def _pending(connection: sa.Connection, destination_key: int) -> tuple[int, int | None]:
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.min(deliveries.c.tm_create)).where(
            deliveries.c.destination_key == destination_key, schema.IS_PENDING
        )
    ).one()
    return row[0], row[1]


def _failed_attempts(connection: sa.Connection, of_webhook: sa.ColumnElement[bool], since_us: int) -> int:
    statement = (
        sa.select(sa.func.count())
        .select_from(attempts.join(deliveries, deliveries.c.key == attempts.c.delivery_key))
        .where(of_webhook, deliveries.c.tm_create >= since_us)
    )
    return connection.execute(statement).scalar_one()


def _latencies(connection: sa.Connection, of_webhook: sa.ColumnElement[bool], since_us: int) -> list[int]:
    statement = (
        sa.select(deliveries.c.latency_ms)
        .where(
            of_webhook,
            deliveries.c.status == int(DeliveryStatus.SUCCEEDED),
            deliveries.c.tm_create >= since_us,
        )
        .order_by(deliveries.c.key.desc())
        .limit(_LATENCY_SAMPLE)
    )
    return sorted(latency for latency in connection.execute(statement).scalars() if latency is not None)


def _quantile(ordered: list[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
