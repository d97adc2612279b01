"""Sending at once what waits for a retry, in steps, after a destination was pointed elsewhere or enabled again.

`destinations.due_mark` is when that was: what was tried since keeps its own time.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.steps import BATCH, OF, in_batches, run_for_each
from offhook.store.schema import deliveries, destinations


class Marked(NamedTuple):
    """A destination that has a mark, and the delivery key beyond which it is to be looked at."""

    key: int
    mark_us: int
    after: int = 0


def destinations_to_make_due(connection: sa.Connection) -> list[Marked]:
    """Those that are marked, from their beginning."""
    statement = sa.select(destinations.c.key, destinations.c.due_mark).where(schema.IS_MAKING_DUE)
    rows = connection.execute(statement.order_by(destinations.c.key))
    return [Marked(key=row.key, mark_us=row.due_mark) for row in rows]


def make_due_step(tx: Transaction, marked: Marked) -> Marked | None:
    """Make due for a moment; the place to go on from. At the end the mark goes."""
    mine = destinations.c.key == marked.key
    if tx.reader.execute(sa.select(destinations.c.due_mark).where(mine)).scalar() != marked.mark_us:
        # It was pointed elsewhere once more meanwhile: that change has a mark of its own, and begins anew.
        return None
    left = in_batches(lambda here: make_due(tx, marked.key, here, marked.mark_us), marked.after)
    if left is None:
        tx.connection.execute(sa.update(destinations).where(mine).values(due_mark=None))
        return None
    return marked._replace(after=left)


def make_due(tx: Transaction, key: int, after: int, mark_us: int) -> int | None:
    """Make due at their old place some that failed before `mark_us`, beyond the delivery key `after`.

    Returns the key to go on from, None at the end.
    """
    columns = deliveries.c.key, deliveries.c.due_at, deliveries.c.tm_create
    was_tried_since = sa.exists().where(
        schema.attempts.c.delivery_key == deliveries.c.key, schema.attempts.c.started_at >= mark_us
    )
    failed = (
        sa.select(*columns, was_tried_since.label("was_tried_since"))
        .where(deliveries.c.destination_key == key, schema.HAS_FAILED, deliveries.c.key > after)
        .order_by(deliveries.c.key)
        .limit(BATCH)
    )
    rows = tx.reader.execute(failed).all()
    waiting = [row.key for row in rows if row.due_at != row.tm_create and not row.was_tried_since]
    if waiting:
        statement = sa.update(deliveries).where(deliveries.c.key == OF).values(due_at=deliveries.c.tm_create)
        run_for_each(tx, statement, waiting)
        tx.committed.rewound.add(key)
    return rows[-1].key if len(rows) == BATCH else None
