"""Statements of the hot path: written with SQLAlchemy, compiled once, run by the driver itself.

Building a statement's parameters anew costs SQLAlchemy more than the database needs to run it. Here the text is
compiled for the dialect at the first use, with parameters by position; rows are plain tuples. Everything else in
this room uses SQLAlchemy as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

Row = tuple[Any, ...]


class Prepared:
    """One statement for one dialect. `names` are its parameters, in the order in which rows give them."""

    def __init__(self, statement: Any, names: Sequence[str], dialect_name: str) -> None:
        self._is_sqlite = dialect_name == "sqlite"
        dialect: Any = (
            sqlite.dialect(paramstyle="qmark") if self._is_sqlite else psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
        )
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self._text = str(compiled)
        wanted = list(compiled.positiontup or ())
        # What the dialect adds of its own (SQLite: OFFSET 0) comes behind what the caller gives.
        added = [name for name in wanted if name not in names]
        self._added = tuple([compiled.params[name] for name in added])
        order = [*names, *added]
        # A parameter may stand in the text more than once, or elsewhere than the caller gives it.
        places = [order.index(name) for name in wanted]
        self._places = None if places == list(range(len(names))) else places

    def run_many(self, cursor: Any, rows: Sequence[Row]) -> None:
        """Run it for every row."""
        arranged = rows if self._places is None else [self._arranged(row) for row in rows]
        if len(arranged) == 1:
            # psycopg would begin a pipeline for it.
            cursor.execute(self._text, arranged[0])
        else:
            cursor.executemany(self._text, arranged)

    def fetch(self, cursor: Any, row: Row) -> list[Row]:
        """Run it once; everything it found."""
        cursor.execute(self._text, row if self._places is None else self._arranged(row))
        found: list[Row] = cursor.fetchall()
        return found

    def iterate(self, cursor: Any, row: Row) -> Iterable[Row]:
        """Run it once; what it found, one after another: whoever has enough need not read the rest."""
        cursor.execute(self._text, row if self._places is None else self._arranged(row))
        rows: Iterable[Row] = cursor
        return rows

    def fetch_each(self, cursor: Any, rows: Sequence[Row]) -> list[list[Row]]:
        """Run it for every row; everything that each found, in order."""
        if self._is_sqlite or len(rows) <= 1:
            return [self.fetch(cursor, row) for row in rows]
        cursor.executemany(
            self._text, rows if self._places is None else [self._arranged(row) for row in rows], returning=True
        )
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        return found

    def run_returning(self, cursor: Any, rows: Sequence[Row]) -> list[Row]:
        """Run it for every row; what each returned, in order."""
        arranged = rows if self._places is None else [self._arranged(row) for row in rows]
        if self._is_sqlite or len(rows) == 1:
            return [cursor.execute(self._text, row).fetchone() for row in arranged]
        cursor.executemany(self._text, arranged, returning=True)
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
        return found

    def _arranged(self, row: Row) -> Row:
        assert self._places is not None
        full = row + self._added
        return tuple([full[place] for place in self._places])


def driver_cursor(connection: sa.Connection) -> Any:
    """The driver's own cursor, in the transaction that `connection` is in."""
    return connection.connection.cursor()
