"""Forgetting what is old, in small steps that no publisher feels.

Events are walked in order of their keys, which is that of their age, once by each rule: a family of events with a
retention of its own has a rule of its own, and all others share one. How far a rule has come is kept in the database
(`retention_places`), so that it never looks at an event twice. What is still pending (held too) is kept however old,
with its event; it is noted (`overdue_events`) and looked at again later. Attempts go with their deliveries, deliveries
with their events.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from offhook.domain.events.retention import Cutoffs, Rule
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.forgetting import forget_subjects_later
from offhook.store.long_work.steps import (
    ATTEMPT_BYTES,
    BATCH,
    OF,
    STEP_S,
    count_in_batches,
    fitting_count,
    in_batches,
    run_for_each,
)
from offhook.store.schema import (
    DeliveryStatus,
    attempts,
    deliveries,
    events,
    idempotency_keys,
    overdue_events,
    retention_places,
)


class Pruned(msgspec.Struct, frozen=True):
    """How many events a step took out, and whether there may be more to do."""

    event_count: int
    has_more: bool


class LookedAgain(msgspec.Struct, frozen=True):
    """How many overdue events a step took out, and the key to go on from; None: those were all."""

    event_count: int
    place: int | None


def keep_places(tx: Transaction, rules: Sequence[Rule]) -> None:
    """Drop the places of rules that are none any more."""
    tx.connection.execute(sa.delete(retention_places).where(retention_places.c.rule.not_in([r.name for r in rules])))


def prune_step(tx: Transaction, rule: Rule) -> Pruned:
    """Go on with a rule's walk for a moment."""
    start = tx.reader.execute(
        sa.select(retention_places.c.event_key).where(retention_places.c.rule == rule.name)
    ).scalar()
    place, count, end_s = start or 0, 0, time.monotonic() + STEP_S
    more = True
    while more and time.monotonic() < end_s:
        place, removed, more = _prune(tx, rule, place)
        count += removed
    if start is None:
        tx.connection.execute(sa.insert(retention_places).values(rule=rule.name, event_key=place))
    elif place != start:
        tx.connection.execute(
            sa.update(retention_places).where(retention_places.c.rule == rule.name).values(event_key=place)
        )
    return Pruned(count, more)


def look_again_step(tx: Transaction, cutoffs: Cutoffs, place: int) -> LookedAgain:
    """Look again at events that were pending when their time had come, from `place` on."""
    return LookedAgain(*count_in_batches(lambda here: _look_again(tx, cutoffs, here), place))


def forget_keys_step(tx: Transaction, more: bool) -> bool | None:
    """Drop the answers whose time is over (`idempotency`). Returns `more` while there may be others."""
    return in_batches(lambda _: _forget_keys(tx), more)


_events: sa.Select[Any] = sa.select(
    events.c.key,
    events.c.type,
    events.c.subject_key,
    events.c.tm_create,
    sa.func.length(events.c.payload).label("size"),
)


def _prune(tx: Transaction, rule: Rule, place: int) -> tuple[int, int, bool]:
    """One batch: the place beyond, how many events it took out, and whether there is more."""
    found = tx.reader.execute(_events.where(events.c.key > place).order_by(events.c.key).limit(BATCH)).all()
    old = list(takewhile(lambda row: row.tm_create < rule.cutoff_us, found))
    mine = [row for row in old if rule.is_about(row.type)]
    if not mine:
        return (old[-1].key if old else place), 0, len(old) == BATCH
    count = fitting_count(row.size for row in mine)
    looked_at = _look_at(tx, mine[:count])
    _note(tx, [row.key for row in looked_at.pending])
    _remove(tx, looked_at)
    if looked_at.place is not None:
        return looked_at.place, len(looked_at.done), True
    return (old[-1].key if count == len(mine) else mine[count - 1].key), len(looked_at.done), True


def _look_again(tx: Transaction, cutoffs: Cutoffs, place: int) -> tuple[int, int | None]:
    noted = sa.select(overdue_events.c.event_key.label("noted"), *_events.selected_columns)
    rows = tx.reader.execute(
        noted.select_from(overdue_events.outerjoin(events, events.c.key == overdue_events.c.event_key))
        .where(overdue_events.c.event_key > place)
        .order_by(overdue_events.c.event_key)
        .limit(BATCH)
    ).all()
    if not rows:
        return 0, None
    due = [row for row in rows if row.key is not None and row.tm_create < cutoffs.of(row.type)]
    count = fitting_count(row.size for row in due)
    looked_at = _look_at(tx, due[:count])
    _remove(tx, looked_at)
    gone = [row.key for row in looked_at.done] + [row.noted for row in rows if row.key is None]
    run_for_each(tx, sa.delete(overdue_events).where(overdue_events.c.event_key == OF), gone)
    if looked_at.place is not None or count < len(due):
        return len(looked_at.done), looked_at.place or due[count - 1].key
    return len(looked_at.done), rows[-1].noted if len(rows) == BATCH else None


class _LookedAt(NamedTuple):
    """What one batch found of some events: those that are done and those still pending, as far as it could look.

    `deliveries` are those of the first, by key with the number of their attempts. `place` is the key of the last event
    before one that it could not look at as a whole; None: it has looked at all.
    """

    done: list[sa.Row[Any]]
    pending: list[sa.Row[Any]]
    deliveries: list[tuple[int, int]]
    place: int | None


def _look_at(tx: Transaction, rows: Sequence[sa.Row[Any]]) -> _LookedAt:
    """Look at the deliveries of some events, which come in order of their keys."""
    if not rows:
        return _LookedAt([], [], [], None)
    found = tx.reader.execute(
        sa.select(deliveries.c.key, deliveries.c.event_key, deliveries.c.attempt_count, deliveries.c.status)
        .where(deliveries.c.event_key >= rows[0].key, deliveries.c.event_key <= rows[-1].key)
        .order_by(deliveries.c.event_key, deliveries.c.key)
        .limit(2 * BATCH)
    ).all()
    count = fitting_count(row.attempt_count * ATTEMPT_BYTES for row in found)
    stop = None if count == len(found) < 2 * BATCH else found[min(count, len(found) - 1)].event_key
    if stop == rows[0].key:
        return _shrink(tx, rows[0])
    whole = rows if stop is None else [row for row in rows if row.key < stop]
    pending = {row.event_key for row in found[:count] if row.status == DeliveryStatus.PENDING}
    done = [row for row in whole if row.key not in pending]
    keys = {row.key for row in done}
    return _LookedAt(
        done,
        [row for row in whole if row.key in pending],
        [(row.key, row.attempt_count) for row in found if row.event_key in keys],
        None if stop is None else stop - 1,
    )


def _shrink(tx: Transaction, event: sa.Row[Any]) -> _LookedAt:
    """An event that has more deliveries than a batch takes loses some that are done; the rest comes later."""
    statement = (
        sa.select(deliveries.c.key, deliveries.c.attempt_count)
        .where(deliveries.c.event_key == event.key, deliveries.c.status != int(DeliveryStatus.PENDING))
        .limit(BATCH)
    )
    found = [(row.key, row.attempt_count) for row in tx.reader.execute(statement)]
    return _LookedAt([], [], found, event.key - 1) if found else _LookedAt([], [event], [], event.key)


def _note(tx: Transaction, keys: Sequence[int]) -> None:
    """Remember events that must be looked at again."""
    if not keys:
        return
    known = tx.reader.execute(
        sa.select(overdue_events.c.event_key).where(overdue_events.c.event_key.between(keys[0], keys[-1]))
    )
    new = set(keys).difference(known.scalars())
    if new:
        tx.connection.execute(sa.insert(overdue_events), [{"event_key": key} for key in sorted(new)])


def _remove(tx: Transaction, looked_at: _LookedAt) -> None:
    """Delete what is done, with all that belongs to it."""
    tried = [key for key, attempt_count in looked_at.deliveries if attempt_count]
    run_for_each(tx, sa.delete(attempts).where(attempts.c.delivery_key == OF), tried)
    run_for_each(tx, sa.delete(deliveries).where(deliveries.c.key == OF), [key for key, _ in looked_at.deliveries])
    run_for_each(tx, sa.delete(events).where(events.c.key == OF), [row.key for row in looked_at.done])
    forget_subjects_later(tx, {row.subject_key: row.tm_create for row in looked_at.done if row.subject_key is not None})


def _forget_keys(tx: Transaction) -> bool | None:
    key = sa.tuple_(idempotency_keys.c.customer_key, idempotency_keys.c.idempotency_key)
    old = (
        sa.select(idempotency_keys.c.customer_key, idempotency_keys.c.idempotency_key)
        .where(idempotency_keys.c.tm_expire < tx.now_us)
        .order_by(idempotency_keys.c.tm_expire)
        .limit(BATCH)
    )
    deleted = tx.connection.execute(sa.delete(idempotency_keys).where(key.in_(old)))
    return True if deleted.rowcount == BATCH else None
