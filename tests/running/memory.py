"""A database in memory, and a store on it: the runner's port, decided by the real algorithm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from offhook.domain.errors import UnavailableError
from offhook.domain.noun import Nouns
from offhook.domain.times import from_us, to_us
from offhook.store.commit.port import Document, Order, Row, Write
from offhook.store.commit.unit import Group, Result, Unit
from offhook.store.writer import unknown_end
from tests.core.machine import Key, MemoryRows

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


class MemoryDatabase:
    """What outlives the process, and a record of what happened to it.

    `units` are all that were committed, in order; `write_sizes` how many units each write had, also those that failed;
    `pending_rows` those that have commands whose end is not known.
    """

    def __init__(self, nouns: Nouns, command_type: Any, clock: ManualClock | None = None) -> None:
        self.nouns = nouns
        self.rows = MemoryRows(nouns, command_type)
        self.clock = clock or ManualClock()
        self.units: list[Unit] = []
        self.results: list[Result] = []
        self.events: list[tuple[str, str, Any]] = []
        self.write_sizes: list[int] = []
        self.pending_rows: set[Key] = set()
        self.is_away = False
        self.next_errors: list[BaseException] = []
        """What the next writes fail of, without a trace."""
        self.lost_answers = 0
        """So many of the next writes are committed, and nobody is told."""

    def store(self) -> MemoryStore:
        """The store of another process."""
        return MemoryStore(self)

    def document(self, row_id: str, kind: str = "job") -> Document[Any, Any]:
        row = self.rows.get(kind, row_id)
        assert isinstance(row, Row), (kind, row_id)
        return row.document

    def notes(self, row_id: str, kind: str = "job") -> tuple[str, ...]:
        row = self.rows.get(kind, row_id)
        found: tuple[str, ...] = row.document.state.notes if isinstance(row, Row) else ()
        return found

    def open_rows(self) -> list[Row]:
        return [row for key in sorted(self.rows.open) if isinstance(row := self.rows.get(*key), Row)]

    def pending(self) -> list[Order]:
        rows = [row for key in sorted(self.pending_rows) if isinstance(row := self.rows.get(*key), Row)]
        return [Order(row.kind, row.id, one) for row in rows for one in row.document.pending]

    def timers(self) -> list[tuple[datetime, Key, str]]:
        return [(at, (row.kind, row.id), name) for row in self.open_rows() for name, at in row.document.timers.items()]


class MemoryTables:
    """Queries over it."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self.read_count = 0

    def open(self, connection: Any) -> list[Row]:
        self.read_count += 1
        return self._database.open_rows()

    def due(self, connection: Any, until: datetime) -> list[Row]:
        self.read_count += 1
        rows = [row for row in self._database.open_rows() if row.due_at is not None and row.due_at <= until]
        return sorted(rows, key=lambda row: row.due_at or until)


class MemoryStore:
    """The store of one process."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.tables = MemoryTables(database)
        self._listeners: list[Callable[[Any], None]] = []
        self._is_writing = False
        self.early_read: asyncio.Event | None = None
        """Set it, and a read has its snapshot at once and gives it when that is set."""
        self.late_read: asyncio.Event | None = None
        """Set it, and a read has its snapshot only when that is set."""

    @property
    def clock(self) -> ManualClock:
        return self.database.clock

    def subscribe(self, listener: Callable[[Any], None]) -> None:
        self._listeners.append(listener)

    async def read(self, query: Callable[[Any], Any]) -> Any:
        await (self.late_read.wait() if self.late_read is not None else asyncio.sleep(0))
        if self.database.is_away:
            raise UnavailableError("The database is away.")
        found = query(None)
        await (self.early_read.wait() if self.early_read is not None else asyncio.sleep(0))
        return found

    async def apply(self, units: Sequence[Unit]) -> list[Result]:
        assert not self._is_writing, "two writes at the same time"
        self._is_writing = True
        try:
            await asyncio.sleep(0)
            return self._apply(units)
        finally:
            self._is_writing = False

    def tell_everything(self) -> None:
        """Say that what was committed is not known."""
        self._deliver(Committed(everything=True))

    def _apply(self, units: Sequence[Unit]) -> list[Result]:
        database = self.database
        database.write_sizes.append(len(units))
        if database.next_errors:
            raise database.next_errors.pop(0)
        if database.is_away:
            raise UnavailableError("The database is away.")
        group = Group(database.rows, database.nouns)
        results = [group.run(unit) for unit in units]
        database.rows.commit(group)
        for row in (write.row for write in group.writes()):
            change = database.pending_rows.add if row.document.pending else database.pending_rows.discard
            change((row.kind, row.id))
        database.units += units
        database.results += results
        for event in group.events:
            envelope = msgspec.json.decode(event.payload)
            database.events.append((event.type, event.subject, envelope["data"]))
        if database.lost_answers:
            database.lost_answers -= 1
            self._deliver(Committed(everything=True))
            raise unknown_end()
        self._deliver(Committed(group.writes(), group.orders))
        return results

    def _deliver(self, committed: Committed) -> None:
        for listener in self._listeners:
            listener(committed)
