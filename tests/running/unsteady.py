"""A database that goes away, fails and does not answer, around a steady one: whichever that is.

`MemoryDatabase` is one; for the suite to run on another, that has to have `steady_store`, `row`, `open_rows`, `spoil`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from offhook.domain.errors import UnavailableError
from offhook.domain.times import from_us, to_us
from offhook.running.port import Store
from offhook.store.commit.change import unknown_end
from offhook.store.commit.port import Document, Order, Row, Write
from offhook.store.commit.unit import Result, Unit
from tests.core.machine import Key

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Committed(msgspec.Struct):
    """As the store's."""

    changes: list[Write] = []
    orders: list[Order] = []
    everything: bool = False


class ManualClock:
    """Goes on by itself `rate` times as fast as the loop's, and as far as it is set."""

    def __init__(self, rate: float = 1.0) -> None:
        self._rate = rate
        self._offset = timedelta()
        self._last_us = 0

    def now_us(self) -> int:
        passed = timedelta(seconds=asyncio.get_running_loop().time() * self._rate)
        self._last_us = max(self._last_us, to_us(START + self._offset + passed))
        return self._last_us

    @property
    def now(self) -> datetime:
        return from_us(self.now_us())

    def set_forward(self, span: timedelta) -> None:
        self._offset += span

    def stand_still(self) -> datetime:
        """From now on, which is given."""
        now = self.now
        self._rate = 0
        self._offset = now - START
        return now


class UnsteadyDatabase(ABC):
    """What outlives the process, how it fails, and a record of what happened to it.

    `units` are all that were committed, in order; `write_sizes` how many units each write had, also those that failed;
    `pending_rows` those that have commands whose end is not known.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.units: list[Unit] = []
        self.results: list[Result] = []
        self.write_sizes: list[int] = []
        self.pending_rows: set[Key] = set()
        self.is_away = False
        self.next_errors: list[Exception] = []
        """What the next writes fail of, without a trace."""
        self.lost_answers = 0
        """So many of the next writes are committed, and nobody is told."""

    @abstractmethod
    def steady_store(self) -> Store:
        """The store of another process."""

    @abstractmethod
    def row(self, kind: str, row_id: str) -> Row | None:
        """A row as it is kept."""

    @abstractmethod
    def open_rows(self) -> list[Row]:
        """Those that are not over, or have commands whose end is not known."""

    @abstractmethod
    def spoil(self, kind: str, row_id: str) -> None:
        """From now on that row cannot be decoded."""

    def store(self) -> UnsteadyStore:
        """The store of another process."""
        return UnsteadyStore(self)

    def document(self, row_id: str, kind: str = "job") -> Document[Any, Any]:
        row = self.row(kind, row_id)
        assert row is not None, (kind, row_id)
        return row.document

    def notes(self, row_id: str, kind: str = "job") -> tuple[str, ...]:
        row = self.row(kind, row_id)
        found: tuple[str, ...] = () if row is None else row.document.state.notes
        return found

    def timers(self) -> list[tuple[datetime, Key, str]]:
        return [(at, (row.kind, row.id), name) for row in self.open_rows() for name, at in row.document.timers.items()]


class UnsteadyStore:
    """The store of one process."""

    def __init__(self, database: UnsteadyDatabase) -> None:
        self._database = database
        self._steady = database.steady_store()
        self._steady.subscribe(self._committed)
        self._listeners: list[Callable[[Any], None]] = []
        self._is_writing = self._is_mute = False
        self.tables = self._steady.tables
        self.read_count = 0
        self.early_read: asyncio.Event | None = None
        """Set it, and a read has its snapshot at once and gives it when that is set."""
        self.late_read: asyncio.Event | None = None
        """Set it, and a read has its snapshot only when that is set."""

    @property
    def clock(self) -> ManualClock:
        return self._database.clock

    def subscribe(self, listener: Callable[[Any], None]) -> None:
        self._listeners.append(listener)

    async def read(self, query: Callable[[Any], Any]) -> Any:
        self.read_count += 1
        if self.late_read is not None:
            await self.late_read.wait()
        if self._database.is_away:
            raise UnavailableError("The database is away.")
        found = await self._steady.read(query)
        if self.early_read is not None:
            await self.early_read.wait()
        return found

    async def apply(self, units: Sequence[Unit]) -> Sequence[Result]:
        assert not self._is_writing, "two writes at the same time"
        self._is_writing = True
        try:
            return await self._apply(units)
        finally:
            self._is_writing = self._is_mute = False

    def tell_everything(self) -> None:
        """Say that what was committed is not known."""
        self._deliver(Committed(everything=True))

    async def _apply(self, units: Sequence[Unit]) -> Sequence[Result]:
        database = self._database
        database.write_sizes.append(len(units))
        await asyncio.sleep(0)
        if database.next_errors:
            raise database.next_errors.pop(0)
        if database.is_away:
            raise UnavailableError("The database is away.")
        self._is_mute = bool(database.lost_answers)
        results = await self._steady.apply(units)
        database.units += units
        database.results += results
        if self._is_mute:
            # A test may have set it to 0 meanwhile; below that answers would be lost for ever.
            database.lost_answers = max(0, database.lost_answers - 1)
            self.tell_everything()
            raise unknown_end()
        return results

    def _committed(self, committed: Any) -> None:
        for row in (write.row for write in committed.changes):
            rows = self._database.pending_rows
            (rows.add if row.document.pending else rows.discard)((row.kind, row.id))
        if not self._is_mute:
            self._deliver(committed)

    def _deliver(self, committed: Any) -> None:
        for listener in self._listeners:
            listener(committed)
