"""Erasing a subject's payloads for good, however many there are.

One commit marks the subject: from then on every event that it has is as good as erased. None is sent any more, and
readers find it empty (`IS_ERASING`). Then steps take payloads, answers and attempts out, and the last one removes the
mark. After a crash in between, whoever asks again goes on, and so does the next start. Events that are published about
the subject after the mark are new ones: they are kept and delivered as any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.steps import ATTEMPT_BYTES, BATCH, OF, count_in_batches, fitting_count, run_for_each
from offhook.store.schema import attempts, deliveries, events, subjects

Place = tuple[int, int]
"""The sequence of the event that is next, and the key of the last of its deliveries that is done."""


class Erasure(msgspec.Struct, frozen=True):
    """Events of a subject that are to be erased: those up to a sequence."""

    subject_key: int
    to: int


def erasures_begun(connection: sa.Connection) -> list[Erasure]:
    """What was begun and not finished."""
    statement = sa.select(subjects.c.key, subjects.c.erase_to).where(subjects.c.erase_to.is_not(None))
    return [Erasure(row.key, row.erase_to) for row in connection.execute(statement)]


def begin_erasing(tx: Transaction, customer_id: str, subject: str) -> Erasure | None:
    """Mark what a subject has as erased. None: it has nothing."""
    row = tx.connection.execute(
        sa.update(subjects)
        .where(subjects.c.customer_key == tx.customer_key(customer_id), subjects.c.subject == subject)
        .values(erase_to=subjects.c.sequence)
        .returning(subjects.c.key, subjects.c.sequence)
    ).first()
    if row is None:
        return None
    tx.committed.erased.add((customer_id, subject))
    return Erasure(row.key, row.sequence)


def erase_step(tx: Transaction, erasure: Erasure, place: Place) -> tuple[int, Place | None]:
    """Erase from `place` on for a moment: how many events, and the place to go on from."""
    count, beyond = count_in_batches(lambda here: _erase(tx, erasure, here), place)
    if beyond is None:
        # A later request may have moved the mark on: then it removes it.
        tx.connection.execute(
            sa.update(subjects)
            .where(subjects.c.key == erasure.subject_key, subjects.c.erase_to <= erasure.to)
            .values(erase_to=None)
        )
    return count, beyond


def _erase(tx: Transaction, erasure: Erasure, place: Place) -> tuple[int, Place | None]:
    sequence, after = place
    rows = tx.reader.execute(
        sa.select(events.c.key, events.c.sequence, sa.func.length(events.c.payload).label("size"))
        .where(*_between(erasure.subject_key, sequence, erasure.to))
        .order_by(events.c.sequence)
        .limit(BATCH)
    ).all()
    if not rows:
        return 0, None
    rows = rows[: fitting_count(row.size for row in rows)]
    found = tx.reader.execute(
        sa.select(
            *(deliveries.c.key, deliveries.c.destination_key, deliveries.c.status, deliveries.c.attempt_count),
            events.c.sequence,
        )
        .select_from(events.join(deliveries, deliveries.c.event_key == events.c.key))
        .where(
            *_between(erasure.subject_key, sequence, rows[-1].sequence),
            sa.or_(events.c.sequence > sequence, deliveries.c.key > after),
        )
        .order_by(events.c.sequence, deliveries.c.key)
        .limit(2 * BATCH)
    ).all()
    count = fitting_count(row.attempt_count * ATTEMPT_BYTES for row in found)
    _erase_deliveries(tx, found[:count])
    # A delivery too many for this batch: the next one begins with its event.
    beyond = (rows[-1].sequence + 1, 0)
    if count < len(found) or count == 2 * BATCH:
        beyond = (found[count - 1].sequence, found[count - 1].key)
    whole = [row.key for row in rows if row.sequence < beyond[0]]
    run_for_each(tx, sa.update(events).where(events.c.key == OF).values(payload=b""), whole)
    return len(whole), beyond


def _between(subject_key: int, first: int, last: int) -> list[sa.ColumnElement[bool]]:
    return [events.c.subject_key == subject_key, events.c.sequence >= first, events.c.sequence <= last]


def _erase_deliveries(tx: Transaction, rows: Sequence[Any]) -> None:
    tried = [row.key for row in rows if row.attempt_count]
    run_for_each(tx, sa.delete(attempts).where(attempts.c.delivery_key == OF), tried)
    pending = Counter(row.destination_key for row in rows if row.status == schema.DeliveryStatus.PENDING)
    for destination_key, count in pending.items():
        tx.count(destination_key, cancelled=count)
    values = {
        "status": sa.case((schema.IS_PENDING, int(schema.DeliveryStatus.CANCELLED)), else_=deliveries.c.status),
        "tm_done": sa.case((schema.IS_PENDING, tx.now_us), else_=deliveries.c.tm_done),
        "response": b"",
    }
    run_for_each(tx, sa.update(deliveries).where(deliveries.c.key == OF).values(values), [row.key for row in rows])
