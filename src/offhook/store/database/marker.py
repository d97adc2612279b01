"""The number of the group that was committed last, in one row: what tells whether a COMMIT was one.

A COMMIT whose answer is lost may have been carried out, or not. Every group that writes anything writes its number
too, so that the row, read on another connection, decides. Numbers begin at random: a node that had the database
meanwhile wrote one of its own, and then nothing can be told any more.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from offhook.store.database.postgresql import Session
from offhook.store.database.prepared import Prepared, driver_cursor
from offhook.store.schema import last_group

# Room for as many groups again before 63 bits are full.
_START_BITS = 62


class Marker:
    """The row, as one writer knows it. Used on the writer's thread only."""

    def __init__(self) -> None:
        self._write = Prepared(sa.update(last_group).values(number=sa.bindparam("number")), ("number",), "sqlite")
        self._next = secrets.randbits(_START_BITS)
        self._before = 0
        self._written: int | None = None
        self._found: int | None = None
        self.was_committed: bool | None = None

    def begin_group(self) -> None:
        """A transaction begins that has not written its number."""
        if self._found is not None:
            self._before, self._found = self._found, None
        self._written = None

    def write(self, connection: sa.Connection) -> None:
        """Write this group's number, just before its COMMIT; on PostgreSQL with it, for a round trip less."""
        self._next += 1
        self._written = self._next
        session = connection.connection.driver_connection
        if isinstance(session, Session):
            session.last_words = f"UPDATE last_group SET number = {self._written}"  # noqa: S608 - a number of ours
        else:
            self._write.run_many(driver_cursor(connection), [{"number": self._written}])

    def committed(self) -> None:
        """The COMMIT was answered."""
        if self._written is not None:
            self._before = self._written

    def read(self, connection: sa.Connection) -> None:
        """Read the row on a new connection. `was_committed` is then what became of the last group.

        None: another node was here. A group that wrote nothing counts as one that was not committed.
        """
        self._found = connection.execute(sa.select(last_group.c.number)).scalar_one()
        self.was_committed = {self._before: False, self._written: True}.get(self._found)
