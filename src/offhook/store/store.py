"""The group-committing store: changes that come together are committed together.

Theory of operation. One thread owns the only writing connection (`store.writer`). `write` puts a change into its queue
and waits. The thread takes everything that is queued, runs each change in one transaction, writes the events and
records they added, and commits once: while it waits for the disk, the next group gathers by itself, so a commit's price
is shared the more the busier the node is. Then, in one call into the event loop, every listener is told what was
committed, in the order of commits, and only after that every waiting caller gets its answer. A listener therefore never
misses a commit, also not when the caller that caused it has gone away meanwhile.

While the database is *away* (`is_away`), or this node's right to it, everything is refused at once, also to read. When
it is back, listeners are told that what was committed meanwhile is not known. A group whose COMMIT was not answered is
told as committed, or run again, once that is known.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from offhook.domain.errors import OffhookError, UnavailableError
from offhook.domain.noun import NO_NOUNS, Nouns
from offhook.domain.times import from_us
from offhook.node.clock import SteadyClock
from offhook.node.service import Service
from offhook.store.commit.change import Change, Queued, UnitBatch, unknown_end
from offhook.store.commit.committed import Committed
from offhook.store.commit.rows import Tables
from offhook.store.commit.transaction import Transaction
from offhook.store.commit.unit import Result, Unit
from offhook.store.commit.writer import Writer
from offhook.store.database.database import MAX_API_READ, Database, is_database_error
from offhook.store.database.readers import Readers
from offhook.store.database.refusals import refusal_of

T = TypeVar("T")
Listener = Callable[[Committed], None]
# A traceback costs a millisecond of the event loop: only the first of a sort has one.
_MAX_TRACED = 100

log = structlog.get_logger()


class Store(Service):
    """Durable state. `start` before use, in the event loop that will use it; `stop` finishes what is queued."""

    def __init__(self, database: Database, nouns: Nouns = NO_NOUNS, command_type: Any = Any) -> None:
        """`nouns` are those whose units may be applied, `command_type` the union of their commands."""
        self.database = database
        self.tables = Tables(nouns, command_type)
        self.fault_counts: Counter[str] = Counter()
        """Decisions that raised, by kind."""
        self._traced: set[tuple[str, str, type[Exception]]] = set()
        self._listeners: list[Listener] = []
        self._writer = Writer(database, self, self.tables)
        count, check = database.reader_count, self._refuse_while_away
        self._readers = Readers(database.reader, count, "reader", check)
        self._api_readers = Readers(database.api_reader, count, "api-reader", check, max_time=MAX_API_READ)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._over = asyncio.Event()
        self._fault: OffhookError | None = None

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "store writer"

    def deliver_to(self, known: Container[int]) -> None:
        """Destinations that whoever delivers knows: `Committed.destinations` leaves them out. The writer asks."""
        self._writer.groups.known_destinations = known

    @property
    def clock(self) -> SteadyClock:
        """The time of what is written; never before what was written already."""
        return self._writer.groups.clock

    @clock.setter
    def clock(self, clock: SteadyClock) -> None:
        self._writer.groups.clock = clock

    def now(self) -> datetime:
        """The clock's time."""
        return from_us(self.clock.now_us())

    @property
    def is_away(self) -> bool:
        """Whether the database, or this node's right to it, is lost for now: nothing may be begun."""
        return self._writer.is_away

    @property
    def group_count(self) -> int:
        """How many transactions there were."""
        return self._writer.groups.group_count

    @property
    def stale_count(self) -> int:
        """How many transactions were run again, as somebody else had written a row that they had read."""
        return self._writer.groups.stale_count

    async def start(self) -> None:
        """Take the database, migrate it, and begin to take changes. Raises MisconfiguredError."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._open)
        self._writer.start()

    async def run(self) -> None:
        """Until `stop`. Raises UnavailableError or MisconfiguredError once the database is lost for good."""
        await self._over.wait()
        if self._fault is not None:
            raise self._fault

    async def stop(self) -> None:
        """Commit what is queued and close the database. May be called twice."""
        self._stopping = True
        has_ended = await self._writer.stop()
        self._over.set()
        for readers in (self._readers, self._api_readers):
            await asyncio.to_thread(readers.close)
        if has_ended:
            self.database.close()
        else:
            log.error("store.abandoned", hint="the database does not answer; what it had not answered may be lost")

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` in the event loop with every commit, in their order. It must not block nor raise."""
        self._listeners.append(listener)

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Run `change` in a group's transaction; its result once that is on disk.

        Raises what `change` raises (nothing of it is kept), UnavailableError when the database cannot be written, and
        UnknownEndError, one of those, if nobody can tell whether it was.
        Survives cancellation: what was queued is committed all the same.
        """
        future: asyncio.Future[T] = self._new_future()
        self._writer.put(Change(change, future))
        return await future

    async def apply(self, units: Sequence[Unit]) -> list[Result]:
        """Decide these units, one after another, in one write; their results once that is on disk.

        Each is done whole or leaves no trace. Raises UnavailableError (nothing was accepted), and UnknownEndError, one
        of those, if nobody can tell. Survives cancellation: what was queued is committed all the same.
        """
        future: asyncio.Future[list[Result]] = self._new_future()
        self._writer.put(UnitBatch(tuple(units), future))
        return await future

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Run `query` on a consistent snapshot: what deliveries, log ins, calls and a start need. Any length.

        Raises what `query` raises, and UnavailableError when the database cannot be read.
        """
        return await self._readers.read(query)

    async def read_for_api(self, query: Callable[[sa.Connection], T]) -> T:
        """Run `query` on a consistent snapshot, for whoever asks over the API: never in the way of `read`.

        Raises as `read`, and UnavailableError also if it takes too long.
        """
        return await self._api_readers.read(query)

    def ended(self, group: Sequence[Queued[Any]], committed: Committed) -> None:
        """The writer has committed or refused these."""
        self._call(lambda: self._deliver(group, committed))

    def came_back(self, absence: int) -> None:
        """The writer can go on."""
        self._call(lambda: self._go_on(absence))

    def lost(self, fault: OffhookError) -> None:
        """The writer has ended by itself."""
        self._fault = fault
        self._call(self._give_up)

    def _new_future(self) -> asyncio.Future[Any]:
        """For something to be queued, which is refused if nothing can be."""
        if self._stopping:
            raise UnavailableError("The server is stopping. Try again in a moment.")
        self._refuse_while_away()
        assert self._loop is not None
        return self._loop.create_future()

    def _give_up(self) -> None:
        """Nothing is committed any more; whoever still waits learns it."""
        self._over.set()
        for change in self._writer.take_left():
            if not change.future.done():
                change.future.set_exception(change.error or unknown_end())

    def _open(self) -> None:
        try:
            self._writer.open()
        except Exception as error:
            self.database.close()
            if is_database_error(error):
                raise refusal_of(error, self.database.url) from error
            raise

    def _refuse_while_away(self) -> None:
        if self.is_away:
            raise UnavailableError("The database cannot be reached right now. Try again in a moment.")

    def _call(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            log.warning("store.loop_closed")

    def _go_on(self, absence: int) -> None:
        self._writer.go_on(absence)
        self._deliver((), Committed(everything=True))

    def _deliver(self, group: Sequence[Queued[Any]], committed: Committed) -> None:
        for listener in self._listeners:
            try:
                listener(committed)
            except Exception:
                log.exception("store.listener_failed")
        for change in group:
            if isinstance(change, UnitBatch) and change.error is None:
                self._note_faults(change)
            if change.future.done():
                continue
            if change.error is not None:
                change.future.set_exception(change.error)
            else:
                change.future.set_result(change.result)

    def _note_faults(self, batch: UnitBatch) -> None:
        for result in batch.result or ():
            for fault in result.faults:
                self.fault_counts[fault.kind] += 1
                what = {"kind": fault.kind, "id": fault.id, "input": fault.input, "is_mended": result.is_done}
                sort = fault.kind, fault.input, type(fault.error)
                is_first = sort not in self._traced and len(self._traced) < _MAX_TRACED
                self._traced.add(sort)
                trace = fault.error if is_first else None
                log.error("store.rule_failed", **what, error=repr(fault.error), exc_info=trace)
