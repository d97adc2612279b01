"""Statements of the hot path: written with SQLAlchemy, compiled once, run by the driver itself.

Building a statement's parameters anew costs SQLAlchemy more than the database needs to run it. Here the text is
compiled for the dialect at the first use. Values are given by name, and put where the text wants them; what is found
are plain tuples, to be made into the `NamedTuple` whose columns the statement selects. Everything else in this room
uses SQLAlchemy as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

Row = tuple[Any, ...]
Values = Mapping[str, Any]
"""What a statement is run for, by the names of its parameters."""


class Prepared:
    """One statement for one dialect. `names` are its parameters: a row of values gives each by its name.

    What it finds comes as the driver's tuples, in the order of its columns.
    """

    def __init__(self, statement: Any, names: Sequence[str], dialect_name: str) -> None:
        self._is_sqlite = dialect_name == "sqlite"
        dialect: Any = (
            sqlite.dialect(paramstyle="qmark") if self._is_sqlite else psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
        )
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self._text = str(compiled)
        wanted = list(compiled.positiontup or ())
        # What the dialect adds of its own (SQLite: OFFSET 0) is the same for every row.
        self._added = {name: compiled.params[name] for name in wanted if name not in names}
        missing = [name for name, value in self._added.items() if value is None]
        # A parameter that nobody gives would be NULL in every row, without a word.
        assert not missing, f"parameters that are not among the names: {missing}"
        # A parameter may stand in the text more than once. One alone would come out of an itemgetter as it is.
        self._places: Callable[[Values], Any] = itemgetter(*wanted)
        self._has_one = len(wanted) == 1

    def run_many(self, cursor: Any, rows: Sequence[Values]) -> int:
        """Run it for every row; how many rows of the database it changed."""
        arranged = self._arranged(rows)
        if len(arranged) == 1:
            # psycopg would begin a pipeline for it.
            cursor.execute(self._text, arranged[0])
        else:
            cursor.executemany(self._text, arranged)
        count: int = cursor.rowcount
        return count

    def fetch(self, cursor: Any, **values: Any) -> list[Row]:
        """Run it once; everything it found."""
        cursor.execute(self._text, *self._arranged([values]))
        found: list[Row] = cursor.fetchall()
        return found

    def iterate(self, cursor: Any, **values: Any) -> Iterable[Row]:
        """Run it once; what it found, one after another: whoever has enough need not read the rest."""
        cursor.execute(self._text, *self._arranged([values]))
        rows: Iterable[Row] = cursor
        return rows

    def fetch_each(self, cursor: Any, rows: Sequence[Values]) -> list[list[Row]]:
        """Run it for every row; everything that each found, in order."""
        if self._is_sqlite or len(rows) <= 1:
            return [self.fetch(cursor, **row) for row in rows]
        cursor.executemany(self._text, self._arranged(rows), returning=True)
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        return found

    def run_returning(self, cursor: Any, rows: Sequence[Values]) -> list[Row]:
        """Run it for every row; what each returned, in order."""
        arranged = self._arranged(rows)
        if self._is_sqlite or len(rows) == 1:
            return [cursor.execute(self._text, row).fetchone() for row in arranged]
        cursor.executemany(self._text, arranged, returning=True)
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
        return found

    def _arranged(self, rows: Sequence[Values]) -> list[Row]:
        """The values in the order of the text."""
        places = self._places
        if self._has_one:
            return [(places(row),) for row in rows]
        if self._added:
            return [places({**row, **self._added}) for row in rows]
        return list(map(places, rows))


def driver_cursor(connection: sa.Connection) -> Any:
    """The driver's own cursor, in the transaction that `connection` is in."""
    return connection.connection.cursor()
