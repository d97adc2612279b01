"""Lists that are read newest first, page by page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from offhook.domain.place import Place

T = TypeVar("T")

_STRETCH = 500
_MAX_ROWS = 5_000
_MAX_S = 1.0


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """One page, and the place before which the next page begins; None: there is nothing beyond."""

    found: list[T]
    place: Place | None


def page_before(
    connection: sa.Connection,
    statement: sa.Select[Any],
    table: sa.Table,
    before: Place | None,
    page_size: int,
    read: Callable[[sa.Row[Any]], T | None],
) -> Listed[T]:
    """A page of `statement`'s rows, which have the columns `tm_create` and `key`; without those that `read` gives None.

    `before` is the place of the last row that was looked at before, None for the newest ones. Where `read` leaves much
    out, the page may come back with less than it holds: then 5,000 rows were looked at, or a second was over, and its
    place says where to go on.
    """
    found: list[T] = []
    place, looked_at, stretch, end_s = before, 0, page_size, time.monotonic() + _MAX_S
    while True:
        rows = connection.execute(_beyond(statement, table, place).limit(stretch)).all()
        for row in rows:
            place = Place(row.tm_create, row.key)
            value = read(row)
            if value is not None:
                found.append(value)
                if len(found) == page_size:
                    return Listed(found, place)
        looked_at += len(rows)
        if len(rows) < stretch:
            return Listed(found, place if found else None)
        if looked_at >= _MAX_ROWS or time.monotonic() > end_s:
            return Listed(found, place)
        stretch = _STRETCH


def _beyond(statement: sa.Select[Any], table: sa.Table, place: Place | None) -> sa.Select[Any]:
    if place is not None:
        # Compared as one: only so does a late page begin where it is in the index.
        start = sa.tuple_(sa.literal(place.created_us, sa.BigInteger), sa.literal(place.key, sa.BigInteger))
        statement = statement.where(sa.tuple_(table.c.tm_create, table.c.key) < start)
    return statement.order_by(table.c.tm_create.desc(), table.c.key.desc())
