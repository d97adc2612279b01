"""The further addresses of executions that are over: what is held is given up in time, and then they are forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from offhook.domain.delivery.delivery import DELETED, FAILING, GONE
from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.steps import BATCH, in_batches
from offhook.store.schema import NOUN_TABLES, destination_totals, destinations, events, uris

_ACTIVEFLOWS = NOUN_TABLES["activeflow"]


def tidy_own_webhooks_step(tx: Transaction, held_before_us: int, key: int) -> int | None:
    """Look at some of them, from `key` on; the place to go on from.

    Nobody can enable one any more whose execution is over: what it has held since before a moment is cancelled, in
    steps of their own (`cancelling`). One is forgotten that has nothing pending, and of whose deliveries none is left.
    """
    return in_batches(lambda here: _tidy(tx, held_before_us, here), key)


def _tidy(tx: Transaction, held_before_us: int, key: int) -> int | None:
    rows = tx.reader.execute(_SOME, {"beyond": key}).all()
    over = [row for row in rows if not row.is_open]
    _give_up(tx, [row.key for row in over if _is_held(row) and row.tm_update < held_before_us])
    _forget(tx, [row.key for row in over if not _is_held(row) and not row.pending and _has_no_delivery(row)])
    return rows[-1].key if len(rows) == BATCH else None


def _is_held(row: sa.Row[Any]) -> bool:
    return row.held_reason in (GONE, FAILING)


def _has_no_delivery(row: sa.Row[Any]) -> bool:
    """The events that were sent to it are older than all there are."""
    return row.oldest is None or row.last_created_at is None or row.oldest > row.last_created_at


def _give_up(tx: Transaction, keys: Sequence[int]) -> None:
    if keys:
        given_up = {"held_reason": DELETED, "tm_update": tx.now_us}
        tx.connection.execute(sa.update(destinations).where(destinations.c.key.in_(keys)).values(given_up))
        tx.committed.changed.update(keys)
        tx.committed.has_left_over = True


def _forget(tx: Transaction, keys: Sequence[int]) -> None:
    if keys:
        for table in (uris, destination_totals):
            tx.connection.execute(sa.delete(table).where(table.c.destination_key.in_(keys)))
        tx.connection.execute(sa.delete(destinations).where(destinations.c.key.in_(keys)))


_OLDEST = (
    sa.select(events.c.tm_create)
    .where(events.c.customer_key == destinations.c.customer_key)
    .order_by(events.c.position)
    .limit(1)
    .scalar_subquery()
)
_SOME: sa.Select[Any] = (
    sa.select(
        destinations.c.key,
        destinations.c.held_reason,
        destinations.c.tm_update,
        _ACTIVEFLOWS.c.is_open,
        destination_totals.c.pending,
        destination_totals.c.last_created_at,
        _OLDEST.label("oldest"),
    )
    .select_from(
        destinations.outerjoin(_ACTIVEFLOWS, _ACTIVEFLOWS.c.id == destinations.c.activeflow_id).outerjoin(
            destination_totals, destination_totals.c.destination_key == destinations.c.key
        )
    )
    .where(schema.IS_OWN, destinations.c.key > sa.bindparam("beyond", type_=sa.BigInteger))
    .order_by(destinations.c.key)
    .limit(BATCH)
)
