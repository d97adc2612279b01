"""Reading what is due from the database into memory, as there is room, for many destinations in one snapshot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple, Protocol

import sqlalchemy as sa
import structlog

from offhook.delivery.lane import Place
from offhook.delivery.memory import MemoryLimits
from offhook.delivery.queue import DestinationQueue
from offhook.domain.delivery.delivery import Delivery, Destination
from offhook.domain.errors import UnavailableError
from offhook.store.commit.destination_rows import load_destination
from offhook.store.queries.backlog import Cursor, load_due, load_holding, load_subject, next_due_us
from offhook.store.store import Store

_READER_COUNT = 4
# How many destinations are read for at once, as long as little is found.
_BATCH = 64
_PAUSE_S = 1.0

log = structlog.get_logger()


class _Settings(Protocol):
    @property
    def order_hold(self) -> timedelta: ...
    @property
    def memory(self) -> MemoryLimits: ...


class _ReadRequest(NamedTuple):
    """What is to be read for one queue, and at which stage the queue was when it wished that.

    The destination itself if it changed; what holds its subjects; the next of one spilled lane (subject, place,
    limit); the next of the backlog (cursor, limit).
    """

    queue: DestinationQueue
    now_us: int
    epoch: int
    stale_count: int
    rewind_count: int
    refresh: bool
    start: bool
    refill: tuple[str, Place, int] | None
    chunk: tuple[Cursor, int] | None


class _Chunk(NamedTuple):
    """What was found beyond the cursor: all that is due by now if `is_last`; then also when the next one is."""

    rows: list[Delivery]
    is_last: bool
    next_us: int | None


class _Found(NamedTuple):
    """What was read for one request."""

    destination: Destination | None
    holding: list[Delivery]
    refill: tuple[list[Delivery], Place | None]
    chunk: _Chunk | None

    @property
    def rows(self) -> list[Delivery]:
        """What brought a payload along."""
        return self.refill[0] + (self.chunk.rows if self.chunk else [])


class BacklogReader:
    """Keeps the queues that want something from the database supplied; each of them by one reader at a time.

    `on_progress` is called whenever a queue was read for, `on_fault` when what was found could not be taken.
    """

    def __init__(
        self,
        store: Store,
        settings: _Settings,
        *,
        on_progress: Callable[[DestinationQueue], None],
        on_fault: Callable[[DestinationQueue], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_progress = on_progress
        self._on_fault = on_fault
        self._wanting: deque[DestinationQueue] = deque()
        self._signal = asyncio.Event()

    def read_if_wanted(self, queue: DestinationQueue, now_us: int) -> None:
        """See whether the queue wants to be read for, and have it done."""
        self._note_released(queue, now_us)
        queue.make_room(now_us)
        if queue.wants_backlog and not queue.is_loading:
            queue.is_loading = True
            self._wanting.append(queue)
            self._signal.set()

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as readers:
            for number in range(_READER_COUNT):
                readers.create_task(self._read_on(), name=f"delivery-backlog-{number}")

    def _note_released(self, queue: DestinationQueue, now_us: int) -> None:
        for delivery in queue.lanes.take_released():
            queue.read_when_due((delivery.due_us, delivery.key), now_us)
        if queue.next_backlog_us is not None and queue.next_backlog_us <= now_us:
            queue.next_backlog_us = None
            queue.rewind_count += 1
            queue.behind = True

    async def _read_on(self) -> None:
        while True:
            while not self._wanting:
                self._signal.clear()
                await self._signal.wait()
            batch = [self._wanting.popleft() for _ in range(min(_BATCH, len(self._wanting)))]
            try:
                await self._read_for(batch)
            finally:
                for queue in batch:
                    self._finish_reading(queue)

    async def _read_for(self, batch: list[DestinationQueue]) -> None:
        """One step for each queue of `batch`; those that there was no time for are taken out of it and wait on."""
        requests = [self._request_for(queue) for queue in batch]
        found = await self._read(requests)
        self._wanting.extendleft(reversed(batch[len(found) :]))
        del batch[len(found) :]
        for request, one in zip(requests, found, strict=False):
            if one is not None:
                self._take(request, one)
        if None in found:
            await asyncio.sleep(_PAUSE_S)

    def _finish_reading(self, queue: DestinationQueue) -> None:
        try:
            queue.is_loading = False
            queue.ended_while_loading.clear()
            queue.take_arrived(self._store.clock.now_us(), caught_up=False)
        except Exception:
            self._on_fault(queue)
        self._on_progress(queue)

    def _request_for(self, queue: DestinationQueue) -> _ReadRequest:
        limits, now_us = self._settings.memory, self._store.clock.now_us()
        refill, chunk, room = None, None, queue.room
        # Another uri changes what is to be read, so that this has to be known first. One met just now has none yet.
        if not queue.is_stale or queue.destination is None:
            if not queue.needs_start and queue.wants_refill:
                wanted = queue.lanes.next_refill()
                assert wanted is not None
                refill = (*wanted, min(limits.lane, room))
                room = max(limits.floor, room - refill[2])
            if queue.needs_start or queue.wants_chunk:
                chunk = queue.cursor, min(limits.chunk, room)
        stage = queue.epoch, queue.stale_count, queue.rewind_count
        return _ReadRequest(
            queue, now_us, *stage, queue.is_stale, queue.needs_start and chunk is not None, refill, chunk
        )

    async def _read(self, requests: Sequence[_ReadRequest]) -> list[_Found | None]:
        """What was found for the first of `requests`, if not for all; None where reading failed."""
        try:
            return await self._store.read(partial(self._read_all, requests))
        except UnavailableError as error:
            log.warning("delivery.backlog_read_postponed", destination_count=len(requests), error=error.message)
            return [None for _ in requests]
        except Exception:
            if len(requests) == 1:
                log.exception("delivery.backlog_read_failed", destination=requests[0].queue.key)
                return [None]
        # One that cannot be read must not keep the others from being read.
        return [found for request in requests for found in await self._read([request])]

    def _read_all(self, requests: Sequence[_ReadRequest], connection: sa.Connection) -> list[_Found | None]:
        limits = self._settings.memory
        found: list[_Found | None] = []
        row_count = byte_count = 0
        for request in requests:
            one = self._read_one(request, connection)
            found.append(one)
            row_count += len(one.rows)
            byte_count += sum(len(row.payload) for row in one.rows)
            if row_count >= limits.chunk or byte_count >= limits.chunk_bytes:
                break
        return found

    def _read_one(self, request: _ReadRequest, connection: sa.Connection) -> _Found:
        key, limits = request.queue.key, self._settings.memory
        destination = load_destination(connection, key) if request.refresh else None
        holding: list[Delivery] = []
        refill: tuple[list[Delivery], Place | None] = [], None
        if request.start:
            # What failed a moment ago and still holds its subject has to be known before anything else is sent.
            since_us = request.now_us - self._settings.order_hold // timedelta(microseconds=1)
            holding = load_holding(connection, key, failed_since_us=since_us, limit=limits.parked // 2)
        if request.refill:
            subject, place, limit = request.refill
            refill = load_subject(connection, key, subject, place=place, limit=limit, max_bytes=limits.chunk_bytes)
        return _Found(destination, holding, refill, self._read_chunk(request, connection) if request.chunk else None)

    def _read_chunk(self, request: _ReadRequest, connection: sa.Connection) -> _Chunk:
        assert request.chunk is not None
        (after, limit), key, max_bytes = request.chunk, request.queue.key, self._settings.memory.chunk_bytes
        rows = load_due(connection, key, after=after, until_us=request.now_us, limit=limit, max_bytes=max_bytes)
        is_last = len(rows) < limit and sum(len(row.payload) for row in rows) < max_bytes
        return _Chunk(rows, is_last, next_due_us(connection, key, after_us=request.now_us) if is_last else None)

    def _take(self, request: _ReadRequest, found: _Found) -> None:
        try:
            self._take_found(request, found)
        except Exception:
            self._on_fault(request.queue)

    def _take_found(self, request: _ReadRequest, found: _Found) -> None:
        queue = request.queue
        # If it changed once more while it was read, it is read once more.
        if request.refresh and queue.stale_count == request.stale_count:
            queue.set_destination(found.destination, self._store.clock.now_us())
        if queue.epoch != request.epoch or not queue.is_sending:
            return
        if request.start:
            queue.take_loaded(found.holding, request.now_us)
            queue.needs_start = False
        if request.refill:
            queue.take_refill(request.refill[0], *found.refill, self._store.clock.now_us())
        if found.chunk:
            self._take_chunk(request, found.chunk)

    def _take_chunk(self, request: _ReadRequest, chunk: _Chunk) -> None:
        queue = request.queue
        queue.take_loaded(chunk.rows, request.now_us)
        if chunk.rows:
            last = (chunk.rows[-1].due_us, chunk.rows[-1].key)
            # What was missed meanwhile may lie before this: `read_from` has put the cursor back, and it stays there.
            queue.cursor = last if queue.rewind_count == request.rewind_count else min(queue.cursor, last)
        if chunk.is_last:
            queue.read_at(chunk.next_us)
        caught_up = chunk.is_last and queue.rewind_count == request.rewind_count
        queue.take_arrived(request.now_us, caught_up=caught_up)
        if caught_up:
            queue.behind = False
