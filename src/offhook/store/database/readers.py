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
from datetime import timedelta
from typing import TypeVar

import psycopg
import sqlalchemy as sa
import structlog

from offhook.domain.errors import UnavailableError
from offhook.store.database.database import driver_error, is_unavailable
from offhook.store.database.refusals import reason_of

T = TypeVar("T")
# How often SQLite looks at the clock, in steps of its virtual machine: about every millisecond.
_OPCODES = 20_000
# A session that was dead before it was used says so within this time.
_AT_ONCE_S = 1.0

log = structlog.get_logger()


class Readers:
    """A pool of `count` threads on one engine. `check` raises UnavailableError while nothing can be read.

    `max_time` bounds each question, and the wait before it (PostgreSQL's sessions do the first by themselves).
    """

    def __init__(
        self,
        engine: sa.Engine,
        count: int,
        name: str,
        check: Callable[[], None],
        *,
        max_time: timedelta | None = None,
    ) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=f"store-{name}")
        self._check = check
        self._max_s = None if max_time is None else max_time.total_seconds()

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """What `query` finds on a consistent snapshot; it runs twice, if its session had died before.

        Raises UnavailableError if it takes too long or fails.
        """
        self._check()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query, time.monotonic())

    def close(self) -> None:
        """Wait for what is being read, and end; what waits for a thread is given up."""
        self._threads.shutdown(cancel_futures=True)

    def _read(self, query: Callable[[sa.Connection], T], asked_s: float) -> T:
        if self._max_s is not None and time.monotonic() > asked_s + self._max_s:
            raise _too_long("Too much is being asked at once. Try again in a moment.")
        # It may have waited for a thread.
        self._check()
        try:
            return self._read_on_any(query)
        except Exception as error:
            if self._max_s is not None and _was_broken_off(error):
                raise _too_long(
                    "The answer takes too long to find. Ask for less: a shorter time, a status, one subject."
                ) from error
            if not is_unavailable(error):
                raise
            log.error("store.read_failed", error=reason_of(error))
            raise UnavailableError("The database cannot be read right now. Try again in a moment.") from error

    def _read_on_any(self, query: Callable[[sa.Connection], T]) -> T:
        """Asking each session whether it lives before it is used would cost every read a round trip."""
        began_s = time.monotonic()
        try:
            return self._read_once(query)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated or time.monotonic() - began_s > _AT_ONCE_S:
                raise
        return self._read_once(query)

    def _read_once(self, query: Callable[[sa.Connection], T]) -> T:
        with self._engine.begin() as connection:
            driver = connection.connection.dbapi_connection
            if self._max_s is None or not isinstance(driver, sqlite3.Connection):
                return query(connection)
            end_s = time.monotonic() + self._max_s
            driver.set_progress_handler(lambda: time.monotonic() > end_s, _OPCODES)
            try:
                return query(connection)
            finally:
                driver.set_progress_handler(None, 0)


def _was_broken_off(error: Exception) -> bool:
    cause = driver_error(error)
    return isinstance(cause, psycopg.errors.QueryCanceled) or str(cause) == "interrupted"


def _too_long(message: str) -> UnavailableError:
    return UnavailableError(message, reason="QUERY_TOO_LONG")
