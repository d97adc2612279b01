"""How a customer's webhook is doing, in numbers: read from counters, never counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from offhook.domain.delivery.counts import Counts, window_start_us
from offhook.domain.delivery.delivery_log import FailureGroup, WebhookNumbers
from offhook.store import schema
from offhook.store.commit.counting import add_attempts
from offhook.store.queries.destinations import webhook_of
from offhook.store.schema import deliveries, destination_totals, hour_counts, minute_counts

_HOUR_S = 3_600
_DAY_S = 86_400


def webhook_numbers(connection: sa.Connection, customer_id: str, *, now_us: int, seconds: int) -> WebhookNumbers:
    """The numbers of the last `seconds`, from a full minute on (`window_start_us`). Raises NotFoundError."""
    webhook = webhook_of(connection, customer_id)
    totals = connection.execute(
        sa.select(destination_totals).where(destination_totals.c.destination_key == webhook.key)
    ).first()
    starts = [window_start_us(now_us, span) for span in (seconds, _HOUR_S, _DAY_S)]
    windows = [(start, Counts()) for start in starts]
    failures: dict[tuple[str, int | None], FailureGroup] = {}
    for row in _rows_since(connection, webhook.key, min(starts)):
        counts = Counts(created=row.created, exhausted=row.exhausted, cancelled=row.cancelled)
        add_attempts(counts, row.attempts)
        for start, sums in windows:
            if row.starts_at >= start:
                sums.add(counts)
        if row.starts_at >= starts[0]:
            _add_failures(failures, counts, row.starts_at)
    counted_since = (totals.counted_since if totals else None) or 0
    return WebhookNumbers(
        destination=webhook,
        from_us=max(starts[0], counted_since),
        window=windows[0][1],
        failures=sorted(failures.values(), key=lambda group: -group.count),
        last_hour=windows[1][1],
        last_day=windows[2][1],
        waiting_count=totals.pending if totals else 0,
        oldest_waiting_us=_oldest_waiting(connection, webhook.key),
        last_created_us=totals.last_created_at if totals else None,
    )


def _rows_since(connection: sa.Connection, destination_key: int, from_us: int) -> Sequence[sa.Row[Any]]:
    """Minutes, and hours where there are no minutes any more, oldest first. None is in both."""
    found: list[sa.Row[Any]] = []
    for table in (hour_counts, minute_counts):
        columns = (table.c.starts_at, table.c.created, table.c.exhausted, table.c.cancelled, table.c.attempts)
        mine: sa.Select[Any] = sa.select(*columns).where(
            table.c.destination_key == destination_key, table.c.starts_at >= from_us
        )
        found += connection.execute(mine.order_by(table.c.starts_at)).all()
    return found


def _add_failures(groups: dict[tuple[str, int | None], FailureGroup], counts: Counts, at_us: int) -> None:
    for kind, count in counts.failures.items():
        before = groups.get(kind)
        first_us = at_us if before is None else before.first_us
        groups[kind] = FailureGroup(*kind, count + (before.count if before else 0), first_us, at_us)


def _oldest_waiting(connection: sa.Connection, destination_key: int) -> int | None:
    """When the oldest that is not final was created, by one row of each of two indexes.

    What was never tried is due when it was created, and nothing is due before it was created: so the oldest is either
    what is due first, or the oldest of those that were tried.
    """
    mine = sa.select(deliveries.c.tm_create).where(deliveries.c.destination_key == destination_key)
    first_due = mine.where(schema.IS_PENDING).order_by(deliveries.c.due_at, deliveries.c.key).limit(1)
    first_tried = mine.where(schema.HAS_FAILED).order_by(deliveries.c.key).limit(1)
    found = [connection.execute(statement).scalar() for statement in (first_due, first_tried)]
    return min((moment for moment in found if moment is not None), default=None)
