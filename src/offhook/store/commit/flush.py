"""How a group's rows are written: each once, if it is still the one that was read.

No row is locked while it is decided. Rows are updated in the order (kind, id), and then inserted in that order, so that
two nodes on one PostgreSQL wait for each other in one direction only. Whoever comes second finds another version, and
the whole group is run again from what is there now (`StaleError`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.times import to_us
from offhook.store import schema
from offhook.store.commit.keys import Keys
from offhook.store.commit.port import Row, Write
from offhook.store.database.database import driver_error
from offhook.store.database.prepared import Prepared, driver_cursor
from offhook.store.noun_tables import noun_table

Entries = tuple[tuple[str, str, int], ...]


class StaleError(Exception):
    """Somebody else has written a row since it was read."""


class _Statements:
    """One noun's, for one dialect."""

    def __init__(self, kind: str, dialect_name: str) -> None:
        module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect_name]
        table = noun_table(kind, sa.MetaData())
        shared = ("is_open", "is_final", "due_at", "document", "tm_update")
        self.update = Prepared(
            sa.update(table)
            .where(table.c.id == sa.bindparam("of_id"), table.c.version == sa.bindparam("read_version"))
            .values(version=table.c.version + 1, **{name: sa.bindparam(name) for name in shared}),
            (*shared, "of_id", "read_version"),
            dialect_name,
        )
        self.insert = Prepared(
            module.insert(table).on_conflict_do_nothing(index_elements=["id"]),
            (*shared, "key", "id", "customer_id", "version", "tm_create"),
            dialect_name,
        )


class _PlaceStatements:
    def __init__(self, dialect_name: str) -> None:
        columns = schema.places.c
        self.delete = Prepared(
            sa.delete(schema.places).where(
                columns.kind == sa.bindparam("of_kind"), columns.id == sa.bindparam("of_id")
            ),
            ("of_kind", "of_id"),
            dialect_name,
        )
        self.insert = Prepared(sa.insert(schema.places), ("kind", "id", "name", "key", "rank"), dialect_name)


@cache
def _statements(kind: str, dialect_name: str) -> _Statements:
    return _Statements(kind, dialect_name)


@cache
def _place_statements(dialect_name: str) -> _PlaceStatements:
    return _PlaceStatements(dialect_name)


def is_stale(error: BaseException) -> bool:
    """Whether another writer came in between: run again, it may well succeed."""
    waited_in_a_ring = psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure
    return isinstance(error, StaleError) or isinstance(driver_error(error), waited_in_a_ring)


def write_rows(
    connection: sa.Connection, keys: Keys, writes: Sequence[Write], entries_before: Callable[[Write], Entries | None]
) -> None:
    """Write these rows, which come in the order (kind, id), and their places in indexes.

    `entries_before` are the places that a row had; None: not known. Raises StaleError, and what the database raises.
    """
    cursor, dialect_name = driver_cursor(connection), connection.dialect.name
    for is_new in (False, True):
        for kind, some in groupby(filter(lambda write: (write.row.version == 0) is is_new, writes), _kind):
            _write(connection, cursor, keys, _statements(kind, dialect_name), list(some), is_new=is_new)
    _write_places(cursor, _place_statements(dialect_name), writes, entries_before)


def _write(
    connection: sa.Connection, cursor: Any, keys: Keys, statements: _Statements, writes: list[Write], *, is_new: bool
) -> None:
    if is_new:
        table_name = f"{writes[0].row.kind}s"
        rows = [
            {
                **_shared(write),
                "key": key,
                "id": write.row.id,
                "customer_id": write.row.customer_id,
                "version": 1,
                "tm_create": to_us(_created_at(write.row)),
            }
            for write, key in zip(writes, keys.take(connection, table_name, len(writes)), strict=True)
        ]
        statements.insert.run_many(cursor, rows)
    else:
        rows = [{**_shared(write), "of_id": write.row.id, "read_version": write.row.version} for write in writes]
        statements.update.run_many(cursor, rows)
    if cursor.rowcount != len(writes):
        raise StaleError


def _write_places(
    cursor: Any,
    statements: _PlaceStatements,
    writes: Iterable[Write],
    entries_before: Callable[[Write], Entries | None],
) -> None:
    gone, new = [], []
    for write in writes:
        before = entries_before(write)
        if before is not None and set(before) == set(write.entries):
            continue
        if before is None or before:
            gone.append({"of_kind": write.row.kind, "of_id": write.row.id})
        new += [
            {"kind": write.row.kind, "id": write.row.id, "name": name, "key": key, "rank": rank}
            for name, key, rank in dict.fromkeys(write.entries)
        ]
    if gone:
        statements.delete.run_many(cursor, gone)
    if new:
        statements.insert.run_many(cursor, new)


def _shared(write: Write) -> dict[str, Any]:
    due_at = write.row.due_at
    return {
        "is_open": write.is_open,
        "is_final": write.is_final,
        "due_at": None if due_at is None else to_us(due_at),
        "document": write.document,
        "tm_update": to_us(write.row.document.last_at),
    }


def _created_at(row: Row) -> Any:
    assert row.created_at is not None
    return row.created_at


def _kind(write: Write) -> str:
    return write.row.kind
