"""A database in memory, and a store on it: the runner's port, decided by the real algorithm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from offhook.domain.noun import Nouns
from offhook.store.commit.port import Row
from offhook.store.commit.unit import Group, Result, Unit
from tests.core.machine import MemoryRows
from tests.running.unsteady import Committed, ManualClock, UnsteadyDatabase


class MemoryDatabase(UnsteadyDatabase):
    """Rows as the bytes that a database would keep. `events` are type, subject and data of each, in order."""

    def __init__(self, nouns: Nouns, command_type: Any, clock: ManualClock | None = None) -> None:
        super().__init__(clock or ManualClock())
        self.nouns = nouns
        self.rows = MemoryRows(nouns, command_type)
        self.events: list[tuple[str, str, Any]] = []

    def steady_store(self) -> MemoryStore:
        return MemoryStore(self)

    def row(self, kind: str, row_id: str) -> Row | None:
        row = self.rows.get(kind, row_id)
        return row if isinstance(row, Row) else None

    def open_rows(self) -> list[Row]:
        return [row for key in sorted(self.rows.open) if (row := self.row(*key)) is not None]

    def spoil(self, kind: str, row_id: str) -> None:
        self.rows.unreadable.add((kind, row_id))


class MemoryTables:
    """Queries over it."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def open(self, connection: Any) -> list[Row]:
        return self._database.open_rows()

    def due(self, connection: Any, until: datetime) -> list[Row]:
        rows = [row for row in self._database.open_rows() if row.due_at is not None and row.due_at <= until]
        return sorted(rows, key=lambda row: row.due_at or until)


class MemoryStore:
    """The store of one process, which never fails."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.tables = MemoryTables(database)
        self._listeners: list[Callable[[Any], None]] = []

    @property
    def clock(self) -> ManualClock:
        return self.database.clock

    def subscribe(self, listener: Callable[[Any], None]) -> None:
        self._listeners.append(listener)

    async def read(self, query: Callable[[Any], Any]) -> Any:
        await asyncio.sleep(0)
        return query(None)

    async def apply(self, units: Sequence[Unit]) -> list[Result]:
        await asyncio.sleep(0)
        group = Group(self.database.rows, self.database.nouns)
        results = [group.run(unit) for unit in units]
        self.database.rows.commit(group)
        for event in group.events:
            envelope = msgspec.json.decode(event.payload)
            self.database.events.append((event.type, event.subject, envelope["data"]))
        for listener in self._listeners:
            listener(Committed(group.writes(), group.orders))
        return results
