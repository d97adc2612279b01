"""Cancelling what is pending of a deleted customer, after its destinations were switched off."""

from __future__ import annotations

import sqlalchemy as sa

from offhook.domain.delivery.delivery import DELETED, OFF
from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.steps import BATCH, OF, in_batches, run_for_each
from offhook.store.schema import deliveries, destinations


def destinations_to_cancel(connection: sa.Connection) -> list[int]:
    """Those that are gone for good and may have something pending."""
    statement = sa.select(destinations.c.key).where(schema.IS_DELETED).order_by(destinations.c.key)
    return list(connection.execute(statement).scalars())


def cancel_step(tx: Transaction, destination_key: int, more: bool) -> bool | None:
    """Cancel for a moment. Returns `more` while there may be others; at the end the destination is simply off."""
    left = in_batches(lambda _: _cancel(tx, destination_key), more)
    if left is None:
        tx.connection.execute(
            sa.update(destinations)
            .where(destinations.c.key == destination_key, destinations.c.held_reason == DELETED)
            .values(held_reason=OFF)
        )
    return left


def _cancel(tx: Transaction, destination_key: int) -> bool | None:
    pending = (
        sa.select(deliveries.c.key)
        .where(deliveries.c.destination_key == destination_key, schema.IS_PENDING)
        .order_by(deliveries.c.due_at, deliveries.c.key)
        .limit(BATCH)
    )
    keys = tx.reader.execute(pending).scalars().all()
    cancelled = {"status": int(schema.DeliveryStatus.CANCELLED), "tm_done": tx.now_us}
    run_for_each(tx, sa.update(deliveries).where(deliveries.c.key == OF).values(cancelled), keys)
    tx.count(destination_key, cancelled=len(keys))
    return True if len(keys) == BATCH else None
