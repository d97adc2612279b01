"""Writing down how attempts ended: in groups, and not given up while the database cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from offhook.domain.delivery import AttemptRecord
from offhook.domain.errors import UnavailableError
from offhook.store.store import Store
from offhook.store.transaction import Transaction

# More than this unwritten, and no new attempt begins: memory stays bounded while the database is away.
MAX_UNWRITTEN = 5_000
_RETRY_S = 1.0

log = structlog.get_logger()


class Recorder:
    """Gathers records while the last group is being committed, then writes them as the next one."""

    def __init__(self, store: Store, *, on_written: Callable[[Sequence[AttemptRecord]], None]) -> None:
        self._store = store
        self._on_written = on_written
        self._records: list[AttemptRecord] = []
        self._changes: list[Callable[[Transaction], object]] = []
        self._wake = asyncio.Event()
        self._unwritten = 0

    @property
    def is_full(self) -> bool:
        """Whether no new attempt should begin."""
        return self._unwritten >= MAX_UNWRITTEN

    def add(self, record: AttemptRecord) -> None:
        """Write `record` with the next group."""
        self._records.append(record)
        self._unwritten += 1
        self._wake.set()

    def add_change(self, change: Callable[[Transaction], object]) -> None:
        """Make another change of the engine's in the same transaction as the records so far."""
        self._changes.append(change)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; `flush` afterwards writes the rest."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write everything gathered so far; tries again until it is on disk."""
        while self._records or self._changes:
            records, self._records = self._records, []
            changes, self._changes = self._changes, []
            await self._write(records, changes)
            self._unwritten -= len(records)
            self._on_written(records)

    async def _write(
        self, records: Sequence[AttemptRecord], changes: Sequence[Callable[[Transaction], object]]
    ) -> None:
        def change(tx: Transaction) -> None:
            for record in records:
                tx.record(record)
            for other in changes:
                other(tx)

        while True:
            try:
                return await self._store.write(change)
            except UnavailableError as error:
                log.warning("delivery.record_postponed", count=len(records), error=error.message)
                await asyncio.sleep(_RETRY_S)
