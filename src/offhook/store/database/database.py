"""Opening the database: engines for the one writer and for the readers, full durability, migrations."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import psycopg
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from offhook.domain.errors import MisconfiguredError
from offhook.store.database.postgresql import reading_engine, without_time_limit, writing_engine

# What SQLite blames on whoever wrote the statement (sqlite.org, rescode.html).
_FAULTS_OF_OURS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
}


MAX_API_READ = timedelta(seconds=3)
"""How long one question of the API may take."""


class Database:
    """The engines on one database. `url` is SQLAlchemy's; `sqlite_url(path)` makes one for a file.

    `reader` is the node's own, `api_reader` that of what the API asks, each with `reader_count` connections.


    The writing engine has one connection. On PostgreSQL that holds the node's lock, so connecting raises TakenError
    while another node runs (for SQLite the data folder is locked). `answer_time` is how long PostgreSQL may take over
    one statement, `regain_time` how long a node that lost it tries to get it back. Raises MisconfiguredError.
    """

    def __init__(
        self,
        url: str,
        *,
        reader_count: int = 4,
        answer_time: timedelta = timedelta(seconds=5),
        regain_time: timedelta = timedelta(seconds=60),
    ) -> None:
        self.url = _parsed(url)
        self.is_sqlite = self.url.drivername.startswith("sqlite")
        self.reader_count = reader_count
        self.answer_time = answer_time
        self.regain_time = regain_time
        if self.is_sqlite:
            self.writer = _sqlite_engine(self.url, begin="BEGIN IMMEDIATE", pool_size=1)
            self.reader = _sqlite_engine(self.url, begin="BEGIN", pool_size=reader_count)
            self.api_reader = _sqlite_engine(self.url, begin="BEGIN", pool_size=reader_count)
        else:
            self.writer = writing_engine(self.url, answer_time, name=f"offhook {secrets.token_hex(8)}")
            self.reader = reading_engine(self.url, answer_time, pool_size=reader_count)
            self.api_reader = reading_engine(self.url, min(answer_time, MAX_API_READ), pool_size=reader_count)

    def migrate(self) -> None:
        """Bring the schema up to this version's, from any older one or from nothing. Raises MisconfiguredError."""
        with self.writer.begin() as connection, nullcontext() if self.is_sqlite else without_time_limit(connection):
            config = _alembic_config(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            present = set(MigrationContext.configure(connection).get_current_heads())
            if present - known:
                raise MisconfiguredError(
                    "The database was written by a newer Offhook (schema "
                    f"{', '.join(sorted(present - known))}). Install that version or a later one."
                )
            alembic.command.upgrade(config, "head")

    def is_current(self, connection: sa.Connection) -> bool:
        """Whether the schema is this version's."""
        heads = ScriptDirectory.from_config(_alembic_config(connection)).get_heads()
        return set(MigrationContext.configure(connection).get_current_heads()) == set(heads)

    def close(self) -> None:
        """Close every connection, and with the writing one let go of the node's lock."""
        self.reader.dispose()
        self.api_reader.dispose()
        self.writer.dispose()


def is_conflict(error: BaseException) -> bool:
    """Whether a unique or foreign key was violated; the driver's own errors come as they are on the hot path."""
    return isinstance(error, sa.exc.IntegrityError | sqlite3.IntegrityError | psycopg.IntegrityError)


def is_database_error(error: BaseException) -> bool:
    """Whether the database, or the way to it, failed."""
    return isinstance(error, sa.exc.DBAPIError | sqlite3.Error | psycopg.Error)


def is_fault_of_ours(error: BaseException) -> bool:
    """Whether the statement, or what it was given, is at fault: it fails at any other time too."""
    cause = driver_error(error)
    if isinstance(cause, sqlite3.DatabaseError):
        return not is_unavailable(cause)
    return isinstance(
        cause,
        psycopg.IntegrityError
        | psycopg.ProgrammingError
        | psycopg.DataError
        | psycopg.NotSupportedError
        | psycopg.errors.InFailedSqlTransaction,
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether the database cannot do what it could at another time: it is away, too slow, full, or damaged."""
    cause = driver_error(error)
    if isinstance(cause, sqlite3.DatabaseError):
        # The generic code is a fault in the statement.
        return getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in _FAULTS_OF_OURS
    return isinstance(cause, psycopg.OperationalError | sa.exc.TimeoutError)


def driver_error(error: BaseException) -> BaseException:
    """What the driver said, where SQLAlchemy has wrapped it."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    return error if cause is None else cause


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite database in a file."""
    return f"sqlite:///{path}"


def _parsed(text: str) -> sa.URL:
    """`postgresql://` and `postgres://` mean psycopg 3 here, as an operator would write them."""
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername in ("sqlite", "postgresql+psycopg"):
        return url
    if url is not None and url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    # The text itself is not shown: there may be a password in it.
    raise MisconfiguredError(
        "database.url is no URL of a PostgreSQL database, such as postgresql://offhook:password@db.example.com/offhook."
        " In a password, write @ as %40, : as %3A and / as %2F.",
        field="database.url",
    )


def _sqlite_engine(url: sa.URL, *, begin: str, pool_size: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=pool_size,
        max_overflow=1,
        # Secrets and payloads are parameters: no error and no traceback shows them.
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 30, "cached_statements": 256},
    )

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        # The driver is kept from beginning transactions by itself: it would do so too late for a read snapshot.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit that was answered survives a power cut, not only a crash (sqlite.org, pragma synchronous).
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-32000")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA journal_size_limit=67108864")
        if begin == "BEGIN":
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _alembic_config(connection: sa.Connection) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", "offhook.store:migrations")
    config.attributes["connection"] = connection
    return config
