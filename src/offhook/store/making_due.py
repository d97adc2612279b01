"""Sending at once what waits for a retry, in steps, after a destination was pointed elsewhere or enabled again.

`destinations.due_mark` is when that was: what was tried since keeps its own time.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from offhook.store import schema
from offhook.store.destinations import make_due
from offhook.store.schema import destinations
from offhook.store.steps import in_bites
from offhook.store.transaction import Transaction


class Marked(NamedTuple):
    """A destination that has a mark, and the delivery key beyond which it is to be looked at."""

    key: int
    mark_us: int
    after: int = 0


def destinations_to_make_due(connection: sa.Connection) -> list[Marked]:
    """Those that are marked, from their beginning."""
    statement = sa.select(destinations.c.key, destinations.c.due_mark).where(schema.IS_MAKING_DUE)
    return [Marked(*row) for row in connection.execute(statement.order_by(destinations.c.key))]


def make_due_step(tx: Transaction, marked: Marked) -> Marked | None:
    """Make due for a moment; the place to go on from. At the end the mark goes."""
    mine = destinations.c.key == marked.key
    if tx.reader.execute(sa.select(destinations.c.due_mark).where(mine)).scalar() != marked.mark_us:
        # It was pointed elsewhere once more meanwhile: that change has a mark of its own, and begins anew.
        return None
    left = in_bites(lambda here: make_due(tx, marked.key, here, marked.mark_us), marked.after)
    if left is None:
        tx.connection.execute(sa.update(destinations).where(mine).values(due_mark=None))
        return None
    return marked._replace(after=left)
