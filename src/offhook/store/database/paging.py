"""Lists that are read newest first, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from offhook.domain.place import Place

T = TypeVar("T")


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """One page, and the place of its last row, before which the next page begins; None only for an empty page."""

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

    `before` is the place of the last row that was read before, None for the newest ones.
    """
    if before is not None:
        # Compared as one: only so does a late page begin where it is in the index.
        beyond = sa.tuple_(sa.literal(before.created_us, sa.BigInteger), sa.literal(before.key, sa.BigInteger))
        statement = statement.where(sa.tuple_(table.c.tm_create, table.c.key) < beyond)
    rows = connection.execute(statement.order_by(table.c.tm_create.desc(), table.c.key.desc()).limit(page_size)).all()
    place = Place(rows[-1].tm_create, rows[-1].key) if rows else None
    return Listed([value for row in rows if (value := read(row)) is not None], place)
