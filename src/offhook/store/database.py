"""Opening the database: engines for the one writer and for the readers, full durability, migrations."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import psycopg
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from offhook.domain.errors import MisconfiguredError

# Arbitrary, ours: the advisory lock that keeps a second node off one PostgreSQL database until nodes can share.
_NODE_LOCK = 0x0FF4008


class Database:
    """The engines on one database. `url` is SQLAlchemy's; `sqlite_url(path)` makes one for a file.

    `reader` is the node's own, `api_reader` that of what the API asks, each with `reader_count` connections.
    """

    def __init__(self, url: str, *, reader_count: int = 4) -> None:
        self.url = _with_driver(url)
        self.is_sqlite = self.url.startswith("sqlite")
        self.reader_count = reader_count
        if self.is_sqlite:
            self.writer = _sqlite_engine(self.url, begin="BEGIN IMMEDIATE", pool_size=1)
            self.reader = _sqlite_engine(self.url, begin="BEGIN", pool_size=reader_count)
            self.api_reader = _sqlite_engine(self.url, begin="BEGIN", pool_size=reader_count)
        else:
            self.writer = sa.create_engine(self.url, pool_size=1, max_overflow=1, pool_pre_ping=True)
            self.reader = self._postgresql_reader()
            self.api_reader = self._postgresql_reader()
        self._lock: sa.Connection | None = None

    def claim(self) -> None:
        """Make sure that no other node runs on this PostgreSQL database (for SQLite the data folder is locked).

        Raises MisconfiguredError.
        """
        if self.is_sqlite:
            return
        connection = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect()
        if not connection.execute(sa.text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _NODE_LOCK}).scalar():
            connection.close()
            raise MisconfiguredError(
                "Another Offhook runs on this database. Stop it first, or give this one a database of its own."
            )
        self._lock = connection

    def migrate(self) -> None:
        """Bring the schema up to this version's, from any older one or from nothing. Raises MisconfiguredError."""
        with self.writer.begin() as connection:
            config = _alembic_config(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            present = set(MigrationContext.configure(connection).get_current_heads())
            if present - known:
                raise MisconfiguredError(
                    "The database was written by a newer Offhook (schema "
                    f"{', '.join(sorted(present - known))}). Install that version or a later one."
                )
            alembic.command.upgrade(config, "head")

    def close(self) -> None:
        """Close every connection."""
        self.reader.dispose()
        self.api_reader.dispose()
        self.writer.dispose()
        if self._lock is not None:
            self._lock.close()

    def _postgresql_reader(self) -> sa.Engine:
        return sa.create_engine(
            self.url,
            pool_size=self.reader_count,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
        )


def is_conflict(error: BaseException) -> bool:
    """Whether a unique or foreign key was violated; the driver's own errors come as they are on the hot path."""
    return isinstance(error, sa.exc.IntegrityError | sqlite3.IntegrityError | psycopg.IntegrityError)


def is_database_error(error: BaseException) -> bool:
    """Whether the database, or the way to it, failed."""
    return isinstance(error, sa.exc.DBAPIError | sqlite3.Error | psycopg.Error)


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite database in a file."""
    return f"sqlite:///{path}"


def _with_driver(url: str) -> str:
    """`postgresql://` and `postgres://` mean psycopg 3 here, as an operator would write them."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _sqlite_engine(url: str, *, begin: str, pool_size: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=pool_size,
        max_overflow=1,
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
