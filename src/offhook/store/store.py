"""The group-committing store: changes that come together are committed together.

Theory of operation. One thread owns the only writing connection. `write` puts a change into its queue and waits. The
thread takes everything that is queued, runs each change in one transaction, writes the events and records they added,
and commits once: while it waits for the disk, the next group gathers by itself, so a commit's price is shared the more
the busier the node is. Then, in one call into the event loop, every listener is told what was committed, in the order
of commits, and only after that every waiting caller gets its answer. A listener therefore never misses a commit, also
not when the caller that caused it has gone away meanwhile.

If a change fails and had only added events, just its own are dropped. If it had touched the database, or the group
itself fails, the transaction is rolled back and its changes run again one by one, each in a transaction of its own
(a savepoint for each would cost six times the group). A change may therefore run twice and must touch nothing but its
transaction.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
import structlog

from offhook.domain.errors import OffhookError, UnavailableError
from offhook.store.clock import SteadyClock
from offhook.store.database import Database, is_conflict, is_database_error
from offhook.store.readers import Readers, limit_statements
from offhook.store.transaction import Committed, Keys, Transaction

T = TypeVar("T")
Listener = Callable[[Committed], None]

_MAX_GROUP = 1_000
_MAX_API_READ_S = 3.0

log = structlog.get_logger()


class _Change(Generic[T]):
    """A change in the queue, its caller's future, and how it ended."""

    __slots__ = ("error", "future", "result", "run")

    def __init__(self, run: Callable[[Transaction], T], future: asyncio.Future[T]) -> None:
        self.run = run
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None


class Store:
    """Durable state. `start` before use, in the event loop that will use it; `stop` finishes what is queued."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._queue: queue.SimpleQueue[_Change[Any] | None] = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._keys = Keys()
        self.clock = SteadyClock()
        self._customer_keys: dict[str, int] = {}
        self._readers = Readers(database.reader, database.reader_count, "reader")
        self._api_readers = Readers(database.api_reader, database.reader_count, "api-reader", max_s=_MAX_API_READ_S)
        if not database.is_sqlite:
            limit_statements(database.api_reader, _MAX_API_READ_S)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: sa.Connection | None = None
        self._stopping = False
        self.group_count = 0
        self.change_count = 0

    async def start(self) -> None:
        """Migrate the database and begin to take changes. Raises MisconfiguredError."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._open)
        self._thread.start()

    async def stop(self) -> None:
        """Commit what is queued and close the database. May be called twice."""
        if self._thread.is_alive():
            self._stopping = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        self._readers.close()
        self._api_readers.close()
        self.database.close()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` in the event loop with every commit, in their order. It must not block nor raise."""
        self._listeners.append(listener)

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Run `change` in a group's transaction; its result once that is on disk.

        Raises what `change` raises (nothing of it is kept), and UnavailableError when the database cannot be written.
        Survives cancellation: what was queued is committed all the same.
        """
        if self._stopping:
            raise UnavailableError("The server is stopping. Try again in a moment.")
        assert self._loop is not None
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Change(change, future))
        return await future

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Run `query` on a consistent snapshot: what deliveries, log ins, calls and a start need. Any length.

        Raises UnavailableError.
        """
        return await self._readers.read(query)

    async def read_for_api(self, query: Callable[[sa.Connection], T]) -> T:
        """Run `query` on a consistent snapshot, for whoever asks over the API: never in the way of `read`.

        Raises UnavailableError, also if it takes too long.
        """
        return await self._api_readers.read(query)

    def _open(self) -> None:
        self.database.claim()
        self.database.migrate()
        with self.database.reader.begin() as connection:
            newest = connection.exec_driver_sql(
                "SELECT max(tm_create) FROM (SELECT tm_create FROM events ORDER BY key DESC LIMIT 1) AS newest"
            ).scalar()
        self.clock = SteadyClock(newest or 0)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            stop = False
            while len(group) < _MAX_GROUP:
                try:
                    change = self._queue.get_nowait()
                except queue.Empty:
                    break
                if change is None:
                    stop = True
                    break
                group.append(change)
            self._commit_group(group)
            if stop:
                break
        if self._connection is not None:
            self._connection.close()

    def _commit_group(self, group: Sequence[_Change[Any]]) -> None:
        self.group_count += 1
        self.change_count += len(group)
        try:
            self._tell(group, self._commit(group))
        except BaseException as error:
            self._keys.forget()
            if not (isinstance(error, OffhookError) or is_conflict(error)):
                self._drop_connection()
            if len(group) == 1:
                self._fail(group[0], error)
                return
            for change in group:
                self._commit_group([change])

    def _commit(self, group: Sequence[_Change[Any]]) -> Committed:
        connection = self._writing_connection()
        with connection.begin():
            transaction = Transaction(connection, self._keys, self._customer_keys, self.clock.now_us())
            for change in group:
                self._run_change(change, transaction)
            transaction.flush()
        return transaction.committed

    def _writing_connection(self) -> sa.Connection:
        """The one writing connection, kept open: fetching it from the pool would cost as much as a group's SQL."""
        if self._connection is None or self._connection.invalidated or self._connection.closed:
            self._connection = self.database.writer.connect()
        return self._connection

    def _drop_connection(self) -> None:
        """After a fault that may be the connection's: the next group gets a new one."""
        if self._connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    def _run_change(self, change: _Change[Any], transaction: Transaction) -> None:
        mark = transaction.mark()
        change.error = None
        try:
            change.result = change.run(transaction)
        except Exception as error:
            change.error = error
            if not transaction.undo(mark):
                raise

    def _fail(self, change: _Change[Any], error: BaseException) -> None:
        committed = Committed()
        if isinstance(error, OffhookError):
            change.error = error
        elif is_database_error(error) and not is_conflict(error):
            log.error("store.write_failed", error=str(getattr(error, "orig", error)))
            # The answer to COMMIT may be what was lost: whoever keeps something in memory has to look again.
            committed = Committed(everything=True)
            change.error = UnavailableError(
                "The database cannot be written right now. Nothing was accepted; try again in a moment."
            )
        else:
            change.error = error
        self._tell([change], committed)

    def _tell(self, group: Sequence[_Change[Any]], committed: Committed) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, group, committed)
        except RuntimeError:
            log.warning("store.loop_closed", change_count=len(group))

    def _deliver(self, group: Sequence[_Change[Any]], committed: Committed) -> None:
        for listener in self._listeners:
            try:
                listener(committed)
            except Exception:
                log.exception("store.listener_failed")
        for change in group:
            if change.future.done():
                continue
            if change.error is not None:
                change.future.set_exception(change.error)
            else:
                change.future.set_result(change.result)
