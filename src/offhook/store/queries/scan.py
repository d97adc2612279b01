"""Reading a list through an index without reading for ever.

Where a filter is no index, the index that comes closest is walked a stretch at a time, until the page is full, or
10,000 rows were looked at, or a second is over. Then the page holds what was found so far, and says where to go on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

MAX_ROWS = 10_000
_MAX_S = 1.0
_STRETCH = 2_000


class Walk(NamedTuple):
    """A way through a table: rows that meet `conditions`, by `column`, beyond `start` (None: from the first)."""

    column: sa.Column[int]
    conditions: Sequence[sa.ColumnElement[bool]]
    start: int | None
    newest_first: bool

    def beyond(self, place: int | None) -> list[sa.ColumnElement[bool]]:
        """The conditions for what comes after `place`."""
        if place is None:
            return list(self.conditions)
        return [*self.conditions, self.column < place if self.newest_first else self.column > place]

    def up_to(self, place: int) -> sa.ColumnElement[bool]:
        """The condition for what does not come after `place`."""
        return self.column >= place if self.newest_first else self.column <= place

    @property
    def order(self) -> sa.ColumnElement[Any]:
        """What to order by."""
        return self.column.desc() if self.newest_first else self.column.asc()


class Found(NamedTuple):
    """The rows of a page, and the place to go on from; None: there is nothing beyond."""

    rows: list[sa.Row[Any]]
    place: int | None


def scan(
    connection: sa.Connection,
    statement: sa.Select[Any],
    walk: Walk,
    filters: Sequence[sa.ColumnElement[bool]],
    page_size: int,
) -> Found:
    """A page of the rows that also meet `filters`. `statement` selects the walk's column too."""
    rows: list[sa.Row[Any]] = []
    place, looked_at, end_s = walk.start, 0, time.monotonic() + _MAX_S
    while looked_at < MAX_ROWS and time.monotonic() < end_s:
        stop = _end_of_stretch(connection, walk, place) if filters else None
        wanted = statement.where(*walk.beyond(place), *filters).order_by(walk.order).limit(page_size - len(rows))
        rows += connection.execute(wanted if stop is None else wanted.where(walk.up_to(stop))).all()
        if len(rows) == page_size:
            return Found(rows, getattr(rows[-1], walk.column.name))
        if stop is None:
            return Found(rows, None)
        place, looked_at = stop, looked_at + _STRETCH
    return Found(rows, place)


def is_few(connection: sa.Connection, statement: sa.Select[Any]) -> bool:
    """Whether `statement` finds so few rows that they may all be read; looks at no more than that."""
    found = statement.limit(MAX_ROWS + 1).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one() <= MAX_ROWS


def _end_of_stretch(connection: sa.Connection, walk: Walk, place: int | None) -> int | None:
    """Where the next stretch ends; None: there is less than that left. Reads the index alone."""
    statement = sa.select(walk.column).where(*walk.beyond(place)).order_by(walk.order).offset(_STRETCH - 1).limit(1)
    return connection.execute(statement).scalar()
