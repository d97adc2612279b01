"""The session that writes: opened at the start, looked after while idle, and opened again when it was lost.

SQLite's is opened again by itself. PostgreSQL's holds the node's lock, which went with it: what happens then is the
writer's to say (`is_lost`, `reopen`). Either way `marker` tells after `reopen` what became of the last group.
"""

from __future__ import annotations

import time
from contextlib import suppress

import sqlalchemy as sa

from offhook.domain.errors import MisconfiguredError, UnavailableError
from offhook.store.database.database import Database, is_conflict
from offhook.store.database.marker import Marker
from offhook.store.database.postgresql import TakenError, is_alive

# A node that was killed a moment ago is still known to PostgreSQL: it looks for that every second.
_START_PATIENCE_S = 3.0
_PAUSE_S = 0.25
_BEAT_S = 1.0
# Changes nothing, and is refused where nothing may be changed: in a read-only file, on a standby server.
_PROOF = "UPDATE key_blocks SET next_key = next_key WHERE name = ''"
_NEWEST = "SELECT max(tm_create) FROM (SELECT tm_create FROM events ORDER BY key DESC LIMIT 1) AS newest"


class WritingSession:
    """Used by one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sa.Connection | None = None
        self.marker = Marker()

    @property
    def beat_s(self) -> float | None:
        """How long it may be idle before `beat` is due."""
        return None if self._database.is_sqlite else _BEAT_S

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be written before `reopen`."""
        return self._connection is None and not self._database.is_sqlite

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be of no use."""
        return self._connection is not None

    def open(self) -> int:
        """Take the database, bring its schema up to date; the time of its newest event, or 0.

        Raises MisconfiguredError if another node has it, and what the database raises.
        """
        given_up_s = time.monotonic() + _START_PATIENCE_S
        while True:
            try:
                self._database.migrate()
                break
            except TakenError:
                if time.monotonic() > given_up_s:
                    raise
                time.sleep(_PAUSE_S)
        return self._connect()

    def reopen(self) -> int:
        """Take the database again; the time of its newest event, which may be another node's.

        Afterwards `marker.was_committed` says what became of the last group.
        Raises UnavailableError if another node has it, MisconfiguredError if it is another version's now, and what the
        database raises.
        """
        try:
            newest_us = self._connect(is_again=True)
        except TakenError:
            raise UnavailableError("Another Offhook has taken this database over. Only one may run on it.") from None
        if self._database.is_sqlite:
            # Its folder is locked: nobody else can have been here.
            return newest_us
        with self.connection.begin():
            if self._database.is_current(self.connection):
                return newest_us
        self.drop()
        raise MisconfiguredError("The database was brought to another version's schema meanwhile. Start that version.")

    @property
    def connection(self) -> sa.Connection:
        """The one connection, kept: fetching it from the pool would cost as much as a group's SQL."""
        if self._connection is None:
            if self.is_lost:
                raise UnavailableError("The database cannot be reached right now. Try again in a moment.")
            self._connection = self._database.writer.connect()
        return self._connection

    def beat(self) -> None:
        """Ask the server whether the session is still there; afterwards `is_lost` tells."""
        try:
            with self.connection.begin():
                self.connection.exec_driver_sql("SELECT 1")
        except sa.exc.SQLAlchemyError:
            self.drop()

    def failed(self, error: BaseException) -> None:
        """See what `error`, which ended a transaction, means for the session."""
        if self._connection is None or is_conflict(error):
            return
        if self._database.is_sqlite or not is_alive(self._connection):
            self.drop()

    def drop(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()

    def _connect(self, *, is_again: bool = False) -> int:
        self._connection = self._database.writer.connect()
        with self._connection.begin():
            # SQLite may be asked what was committed also while its disk is full.
            if not (is_again and self._database.is_sqlite):
                self._connection.exec_driver_sql(_PROOF)
            self.marker.read(self._connection)
            return self._connection.exec_driver_sql(_NEWEST).scalar() or 0
