"""Sending at once what waits for a retry, in steps, after a destination was pointed elsewhere or enabled again.

`destinations.due_mark` is when that was: what was tried since keeps its own time.
"""

from __future__ import annotations

import sqlalchemy as sa

from offhook.store import schema
from offhook.store.destinations import make_due
from offhook.store.schema import destinations
from offhook.store.steps import in_bites
from offhook.store.transaction import Transaction


def destinations_to_make_due(connection: sa.Connection) -> list[int]:
    """Those that are marked."""
    statement = sa.select(destinations.c.key).where(schema.IS_MAKING_DUE).order_by(destinations.c.key)
    return list(connection.execute(statement).scalars())


def make_due_step(tx: Transaction, destination_key: int, after: int) -> int | None:
    """Make due for a moment, beyond the delivery key `after`; the key to go on from. At the end the mark goes."""
    mine = destinations.c.key == destination_key
    mark_us = tx.reader.execute(sa.select(destinations.c.due_mark).where(mine)).scalar()
    if mark_us is None:
        return None
    left = in_bites(lambda here: make_due(tx, destination_key, here, mark_us), after)
    if left is None:
        tx.connection.execute(sa.update(destinations).where(mine).values(due_mark=None))
    return left
