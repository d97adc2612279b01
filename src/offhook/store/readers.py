"""Threads that read, with connections of their own: one pool for the node itself, another for what the API asks.

Whatever the API is asked, it takes no thread and no connection from deliveries, log ins and calls. What it asks for is
also cut short: whoever waits for a thread too long is turned away, and a question that takes too long is broken off.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import sqlalchemy as sa
import structlog

from offhook.domain.errors import UnavailableError
from offhook.store.database import is_database_error

T = TypeVar("T")
# How often SQLite looks at the clock, in steps of its virtual machine: about every millisecond.
_OPCODES = 20_000

log = structlog.get_logger()


class Readers:
    """A pool of `count` threads on one engine. `max_s` bounds each question, and the wait before it (None: nothing)."""

    def __init__(self, engine: sa.Engine, count: int, name: str, *, max_s: float | None = None) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=f"store-{name}")
        self._max_s = max_s

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """What `query` finds on a consistent snapshot. Raises UnavailableError if it takes too long or fails."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query, time.monotonic())

    def close(self) -> None:
        """Wait for what is being read, and end."""
        self._threads.shutdown(wait=True)

    def _read(self, query: Callable[[sa.Connection], T], asked_s: float) -> T:
        if self._max_s is not None and time.monotonic() > asked_s + self._max_s:
            raise _too_long("Too much is being asked at once. Try again in a moment.")
        try:
            with self._engine.begin() as connection:
                if self._max_s is None:
                    return query(connection)
                return self._read_within(connection, query, self._max_s)
        except Exception as error:
            if not is_database_error(error):
                raise
            raise _unavailable(error) from error

    def _read_within(self, connection: sa.Connection, query: Callable[[sa.Connection], T], max_s: float) -> T:
        driver = connection.connection.dbapi_connection
        if not isinstance(driver, sqlite3.Connection):
            return query(connection)
        end_s = time.monotonic() + max_s
        driver.set_progress_handler(lambda: time.monotonic() > end_s, _OPCODES)
        try:
            return query(connection)
        finally:
            driver.set_progress_handler(None, 0)


def limit_statements(engine: sa.Engine, max_s: float) -> None:
    """Have PostgreSQL break off every statement of this engine after `max_s`."""

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: psycopg.Connection, _record: object) -> None:
        connection.execute(f"SET statement_timeout = {int(max_s * 1_000)}".encode())
        connection.commit()


def _too_long(message: str) -> UnavailableError:
    return UnavailableError(message, reason="QUERY_TOO_LONG")


def _unavailable(error: BaseException) -> UnavailableError:
    cause = getattr(error, "orig", error)
    if isinstance(cause, psycopg.errors.QueryCanceled) or str(cause) == "interrupted":
        return _too_long("The answer takes too long to find. Ask for less: a shorter time, a status, one subject.")
    log.error("store.read_failed", error=str(cause))
    return UnavailableError("The database cannot be read right now. Try again in a moment.")
