"""Forgetting what is old, in small steps that no publisher feels.

What is still pending (held too) is kept however old, with its event. Attempts go with their deliveries, deliveries
with their events.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from offhook.store import schema
from offhook.store.schema import attempts, deliveries, events, idempotency_keys, subjects
from offhook.store.transaction import Transaction


class Cutoffs(msgspec.Struct, frozen=True):
    """Events created before this moment are forgotten; a family (`call`, `message` …) may have one of its own."""

    default_us: int
    by_family_us: Mapping[str, int]


class Pruned(msgspec.Struct, frozen=True):
    """How many events a step took out, and the key to go on from (None: it came to what is young)."""

    event_count: int
    next_key: int | None


def prune_step(tx: Transaction, cutoffs: Cutoffs, *, after_key: int, limit: int = 500) -> Pruned:
    """Look at the next `limit` events in order of age and take out those that are due."""
    latest = max(cutoffs.default_us, *cutoffs.by_family_us.values(), 0)
    rows = tx.reader.execute(
        sa.select(events.c.key, events.c.type, events.c.tm_create)
        .where(events.c.key > after_key)
        .order_by(events.c.key)
        .limit(limit)
    ).all()
    old = [
        row.key
        for row in rows
        if row.tm_create < cutoffs.by_family_us.get(row.type.partition("_")[0], cutoffs.default_us)
    ]
    kept = _still_pending(tx, old)
    doomed = [key for key in old if key not in kept]
    if doomed:
        _delete_events(tx, doomed)
    more = len(rows) == limit and rows[-1].tm_create < latest
    return Pruned(len(doomed), rows[-1].key if more else None)


def prune_idempotency_keys(tx: Transaction) -> None:
    """Drop what was remembered of requests more than 24 hours ago."""
    tx.connection.execute(sa.delete(idempotency_keys).where(idempotency_keys.c.tm_expire < tx.now_us))


def _still_pending(tx: Transaction, keys: list[int]) -> set[int]:
    found = tx.reader.execute(
        sa.select(deliveries.c.event_key).where(deliveries.c.event_key.in_(keys), schema.IS_PENDING)
    )
    return set(found.scalars())


def _delete_events(tx: Transaction, keys: list[int]) -> None:
    gone = tx.reader.execute(sa.select(events.c.subject_key).where(events.c.key.in_(keys)).distinct()).scalars().all()
    of_events = sa.select(deliveries.c.key).where(deliveries.c.event_key.in_(keys))
    tx.connection.execute(sa.delete(attempts).where(attempts.c.delivery_key.in_(of_events)))
    tx.connection.execute(sa.delete(deliveries).where(deliveries.c.event_key.in_(keys)))
    tx.connection.execute(sa.delete(events).where(events.c.key.in_(keys)))
    _delete_calls(tx, [key for key in gone if key is not None])


def _delete_calls(tx: Transaction, keys: list[int]) -> None:
    """Forget subjects that are calls, once none of their events is left.

    A call that is over never has another event. Any other subject may live on, and its sequence must not start again.
    """
    tx.connection.execute(
        sa.delete(subjects).where(
            subjects.c.key.in_(keys),
            subjects.c.subject.startswith("call/"),
            ~sa.exists().where(events.c.subject_key == subjects.c.key),
        )
    )
