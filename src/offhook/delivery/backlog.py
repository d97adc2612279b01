"""Reading what is due from the database into memory, as there is room, for many destinations at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import sqlalchemy as sa
import structlog

from offhook.delivery.memory import MemoryLimits
from offhook.delivery.queue import DestinationQueue
from offhook.delivery.requests import RequestWriter
from offhook.domain.delivery import Delivery
from offhook.domain.errors import UnavailableError
from offhook.store.backlog import load_due, load_holding, load_subject, next_due_us
from offhook.store.destinations import load_destinations
from offhook.store.store import Store

_READER_COUNT = 4
_PAUSE_S = 1.0

log = structlog.get_logger()


class _Settings(Protocol):
    @property
    def order_hold(self) -> timedelta: ...
    @property
    def user_agent(self) -> str: ...
    @property
    def memory(self) -> MemoryLimits: ...


class BacklogReader:
    """Keeps the queues that want something from the database supplied; each of them by one reader at a time."""

    def __init__(self, store: Store, settings: _Settings, *, on_progress: Callable[[DestinationQueue], None]) -> None:
        self._store = store
        self._settings = settings
        self._on_progress = on_progress
        self._wanting: deque[DestinationQueue] = deque()
        self._signal = asyncio.Semaphore(0)

    def look_after(self, queue: DestinationQueue, now_us: int) -> None:
        """See whether the queue wants to be read for, and have it done."""
        self._take_note(queue, now_us)
        queue.make_room(now_us)
        if queue.wants_backlog and not queue.is_loading:
            queue.is_loading = True
            self._wanting.append(queue)
            self._signal.release()

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as readers:
            for number in range(_READER_COUNT):
                readers.create_task(self._read_on(), name=f"delivery-backlog-{number}")

    def _take_note(self, queue: DestinationQueue, now_us: int) -> None:
        for delivery in queue.lanes.take_released():
            queue.expect((delivery.due_us, delivery.key), now_us)
        if queue.next_backlog_us is not None and queue.next_backlog_us <= now_us:
            queue.next_backlog_us = None
            queue.missed_count += 1
            queue.behind = True

    async def _read_on(self) -> None:
        while True:
            await self._signal.acquire()
            queue = self._wanting.popleft()
            try:
                await self._read_for(queue)
            except UnavailableError as error:
                log.warning("delivery.backlog_read_postponed", destination=queue.key, error=error.message)
                await asyncio.sleep(_PAUSE_S)
            except Exception:
                log.exception("delivery.backlog_read_failed", destination=queue.key)
                await asyncio.sleep(_PAUSE_S)
            finally:
                queue.is_loading = False
                queue.ended_while_loading.clear()
                queue.unstash(self._store.clock.now_us(), caught_up=False)
            self._on_progress(queue)

    async def _read_for(self, queue: DestinationQueue) -> None:
        """One step for one queue: its destination if that changed, else a little of its backlog."""
        if queue.is_stale or queue.writer is None:
            await self._refresh(queue)
        elif queue.needs_start:
            await self._read_holding(queue)
        else:
            if queue.wants_refill:
                await self._read_subject(queue)
            if queue.wants_chunk and not (queue.needs_start or queue.is_stale):
                await self._read_chunk(queue)

    async def _refresh(self, queue: DestinationQueue) -> None:
        seen = queue.stale_count
        found = await self._store.read(lambda connection: load_destinations(connection, [queue.key]))
        # If it changed once more while it was read, it is read once more.
        if found and queue.stale_count == seen:
            queue.follow(found[0], self._store.clock.now_us())
            queue.writer = RequestWriter(found[0], self._settings.user_agent)

    async def _read_holding(self, queue: DestinationQueue) -> None:
        """What failed a moment ago and still holds its subject has to be known before anything else is sent."""
        now_us = self._store.clock.now_us()
        since_us = now_us - self._settings.order_hold // timedelta(microseconds=1)
        limit, epoch = self._settings.memory.parked // 2, queue.epoch
        rows = await self._store.read(
            lambda connection: load_holding(connection, queue.key, failed_since_us=since_us, limit=limit)
        )
        if queue.epoch == epoch:
            queue.take_loaded(rows, now_us)
            queue.needs_start = False

    async def _read_subject(self, queue: DestinationQueue) -> None:
        """The next deliveries of a subject whose lane has run empty and had turned others away."""
        wanted = queue.lanes.next_refill()
        assert wanted is not None
        subject, place = wanted
        epoch, limits = queue.epoch, self._settings.memory
        limit = min(limits.lane, queue.room)
        rows, after = await self._store.read(
            lambda connection: load_subject(
                connection, queue.key, subject, place=place, limit=limit, max_bytes=limits.chunk_bytes
            )
        )
        if queue.epoch == epoch:
            queue.take_refill(subject, rows, after, self._store.clock.now_us())

    async def _read_chunk(self, queue: DestinationQueue) -> None:
        now_us = self._store.clock.now_us()
        limit, max_bytes = min(self._settings.memory.chunk, queue.room), self._settings.memory.chunk_bytes
        after, missed, epoch = queue.cursor, queue.missed_count, queue.epoch

        def read(connection: sa.Connection) -> tuple[list[Delivery], bool, int | None]:
            rows = load_due(connection, queue.key, after=after, until_us=now_us, limit=limit, max_bytes=max_bytes)
            is_last = len(rows) < limit and sum(len(row.payload) for row in rows) < max_bytes
            return rows, is_last, next_due_us(connection, queue.key, after_us=now_us) if is_last else None

        rows, is_last, next_us = await self._store.read(read)
        if queue.epoch != epoch or queue.is_stale:
            return
        queue.take_loaded(rows, now_us)
        if rows:
            last = (rows[-1].due_us, rows[-1].key)
            # Whatever was missed meanwhile may lie before this: `miss` has put the cursor back, and it stays there.
            queue.cursor = last if queue.missed_count == missed else min(queue.cursor, last)
        if is_last:
            queue.read_at(next_us)
        caught_up = is_last and queue.missed_count == missed
        queue.unstash(now_us, caught_up=caught_up)
        if caught_up:
            queue.behind = False
