"""Lists that are read newest first, page by page (facts, section 2.3).

A page token is the `tm_create` of the last row, in its fixed form with six fraction digits; rows made in the same
microsecond are told apart by a number behind it. A client that makes it of a `tm_create` it was shown, whose trailing
zeros are trimmed (or all of them, with the dot), means the same moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from offhook.domain.errors import InvalidError
from offhook.domain.times import from_us, to_us

T = TypeVar("T")
_TOKEN = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z(?:\.(\d{1,18}))?", re.ASCII)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page, and the token of the next; the token is empty only behind the last one."""

    result: list[T]
    next_page_token: str


def page_of(
    connection: sa.Connection,
    statement: sa.Select[Any],
    table: sa.Table,
    page_token: str,
    page_size: int,
    read: Callable[[sa.Row[Any]], T | None],
) -> Page[T]:
    """A page of `statement`'s rows, which have the columns `tm_create` and `key`; without those that `read` gives None.

    Raises InvalidError (page_token).
    """
    if page_token:
        created, key = _parse(page_token)
        # Compared as one: only so does a late page begin where it is in the index.
        beyond = sa.tuple_(sa.literal(created, sa.BigInteger), sa.literal(key, sa.BigInteger))
        statement = statement.where(sa.tuple_(table.c.tm_create, table.c.key) < beyond)
    rows = connection.execute(statement.order_by(table.c.tm_create.desc(), table.c.key.desc()).limit(page_size)).all()
    token = _token(rows[-1].tm_create, rows[-1].key) if rows else ""
    return Page([shape for row in rows if (shape := read(row)) is not None], token)


def _token(created_us: int, key: int) -> str:
    return f"{from_us(created_us):%Y-%m-%dT%H:%M:%S.%f}Z.{key}"


def _parse(token: str) -> tuple[int, int]:
    found = _TOKEN.fullmatch(token)
    if found:
        try:
            second = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
            return to_us(second) + int((found[2] or "").ljust(6, "0")), int(found[3] or 0)
        except ValueError:
            pass
    raise InvalidError(
        "page_token is not one that this list gave out.", reason="INVALID_REQUEST_PARAMETER", field="page_token"
    )
