"""Rows that hold a document: what was written by another version, or damaged, may be impossible to read.

Such a row is left out, and logged, and never keeps a node from starting; `offhook doctor` lists them all. Who asks for
that one row alone is told of a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
import structlog

from offhook.domain.catalogue.call import Call
from offhook.store.schema import calls

T = TypeVar("T")
_STREAMED = 500

log = structlog.get_logger()


class Unreadable(msgspec.Struct, frozen=True):
    """A row that cannot be read, and what the decoder says."""

    kind: str
    id: str
    reason: str


KINDS: Mapping[str, tuple[sa.Table, Any]] = {"call": (calls, msgspec.json.Decoder(Call))}
"""Every kind of row with a document: its table (with `id` and `document`) and its decoder."""


def decoded(kind: str, document: bytes) -> Any:
    """What a row holds. Raises DecodeError."""
    return KINDS[kind][1].decode(document)


def decoded_or_none(kind: str, row_id: str, document: bytes) -> Any:
    """What a row holds; None if it cannot be read, which is logged."""
    try:
        return decoded(kind, document)
    except msgspec.DecodeError as error:
        log.error("store.row_unreadable", kind=kind, id=row_id, error=str(error), hint="`offhook doctor` lists them")
        return None


def unreadable_rows(connection: sa.Connection) -> Iterator[Unreadable]:
    """All that cannot be read. Reads every document there is, a few at a time."""
    for kind, (table, _) in KINDS.items():
        statement = sa.select(table.c.id, table.c.document).order_by(table.c.key)
        for row in connection.execute(statement.execution_options(yield_per=_STREAMED)):
            try:
                decoded(kind, row.document)
            except msgspec.DecodeError as error:
                yield Unreadable(kind, row.id, str(error))
