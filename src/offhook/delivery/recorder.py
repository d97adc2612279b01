"""Writing down how attempts ended: in groups, and not given up while the database cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta

import msgspec
import structlog

from offhook.domain.delivery.delivery import AttemptRecord
from offhook.domain.errors import UnavailableError
from offhook.node.service import Service
from offhook.store.commit.change import UnknownEndError
from offhook.store.commit.transaction import Transaction
from offhook.store.store import Store

# More than this unwritten, and no new attempt begins: memory stays bounded while the database is away.
MAX_UNWRITTEN = 5_000
_RETRY_S = 1.0

Change = Callable[[Transaction], object]
Listener = Callable[[Sequence[AttemptRecord]], None]

log = structlog.get_logger()


class Recorder(Service):
    """Gathers records while the last group is being committed, then writes them as the next one.

    A stop writes the rest. What cannot be written within `patience` is sent again after the next start.
    """

    def __init__(self, store: Store, patience: timedelta) -> None:
        self._store = store
        self._patience = patience
        self._on_written: Listener = _nobody
        self._records: list[AttemptRecord] = []
        self._changes: dict[Hashable, Change] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._ended = asyncio.Event()
        self._ended.set()
        self.unwritten_count = 0

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "delivery recorder"

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of all records that are written; there is one."""
        self._on_written = listener

    @property
    def is_full(self) -> bool:
        """Whether no new attempt should begin."""
        return self.unwritten_count >= MAX_UNWRITTEN

    def add(self, record: AttemptRecord) -> None:
        """Write `record` with the next group."""
        self._records.append(record)
        self.unwritten_count += 1
        self._wake.set()

    def add_change(self, subject: Hashable, change: Change) -> None:
        """Make another change of the engine's in the same transaction as the records so far.

        It takes the place of one about the same `subject` that has not begun: only the last word counts.
        """
        self._changes[subject] = change
        self._wake.set()

    async def run(self) -> None:
        """Write until stopped."""
        self._ended.clear()
        try:
            while self._records or self._changes or not self._closing:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Write the rest and end."""
        self._closing = True
        self._wake.set()
        try:
            # A database that is away already comes back too late.
            async with asyncio.timeout(0 if self._store.is_away else self._patience.total_seconds()):
                await self._ended.wait()
        except TimeoutError:
            log.error("delivery.records_lost", count=self.unwritten_count, hint="they are sent once more")

    async def _flush(self) -> None:
        while self._records or self._changes:
            records, self._records = self._records, []
            changes, self._changes = list(self._changes.values()), {}
            try:
                await self._write(records, changes)
            except Exception:
                log.exception("delivery.record_failed", count=len(records))
                await self._write_singly(records, changes)
            self.unwritten_count -= len(records)
            self._on_written(records)

    async def _write_singly(self, records: Sequence[AttemptRecord], changes: Sequence[Change]) -> None:
        """One refused row must not take the others with it: it is there already, or nothing can ever write it."""
        for one, more in [*(([record], []) for record in records), *(([], [change]) for change in changes)]:
            try:
                await self._write(one, more)
            except Exception:
                log.exception("delivery.record_dropped", deliveries=[record.delivery_key for record in one])

    async def _write(self, records: Sequence[AttemptRecord], changes: Sequence[Change]) -> None:
        def change(tx: Transaction) -> None:
            for record in written:
                tx.record(record)
            for other in changes:
                other(tx)

        written = records
        while True:
            try:
                return await self._store.write(change)
            except UnavailableError as error:
                if isinstance(error, UnknownEndError):
                    written = [msgspec.structs.replace(record, may_be_written=True) for record in records]
                log.warning("delivery.record_postponed", count=len(records), error=error.message)
                await asyncio.sleep(_RETRY_S)


def _nobody(_: Sequence[AttemptRecord]) -> None:
    pass
