"""One destination's queue at run time: its lanes, its health, and where in the backlog it has read to."""

from __future__ import annotations

import asyncio

import msgspec

from offhook.delivery.lanes import Lanes
from offhook.delivery.requests import RequestWriter
from offhook.domain.delivery import Delivery, Destination
from offhook.domain.health import CLEAN, Health, resumed
from offhook.store.backlog import START, Cursor

# Deliveries in memory, per destination: what is beyond stays in the database until there is room.
WINDOW = 1_000
WINDOW_BYTES = 8 * 1024 * 1024


class DestinationQueue:
    """What is known of one destination. Everything here happens in the event loop; times are microseconds.

    `behind` says that the database may hold deliveries, due by now, that memory does not; while it does, new ones are
    not taken into memory either, so that none overtakes what is still to be read.
    """

    def __init__(self, key: int, order_hold_us: int) -> None:
        self.key = key
        self.lanes = Lanes(order_hold_us)
        self.destination: Destination | None = None
        self.writer: RequestWriter | None = None
        self.health: Health = CLEAN
        self.written_failing_since_us: int | None = None
        self.in_flight_count = 0
        self.behind = True
        self.is_loading = False
        self.is_stale = True
        self.stale_count = 0
        self.stash: list[Delivery] = []
        self.needs_start = True
        self.cursor: Cursor = START
        self.missed_count = 0
        self.ended_while_loading: set[int] = set()
        self.next_backlog_us: int | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_sending(self) -> bool:
        """Whether attempts may begin at all."""
        return self.destination is not None and not self.is_stale and self.destination.held_reason == ""

    @property
    def wants_backlog(self) -> bool:
        """Whether there is something to read, and room for it."""
        if self.is_stale:
            return True
        return self.is_sending and self.behind and self.lanes.held_count <= WINDOW // 2 and self._has_room

    @property
    def _has_room(self) -> bool:
        return self.lanes.held_count < WINDOW and self.lanes.held_bytes < WINDOW_BYTES

    def offer(self, delivery: Delivery, now_us: int) -> None:
        """Take a delivery that was committed just now, if it can be sent from memory."""
        if self.is_sending and not self.behind and self._has_room:
            self.lanes.add(delivery, now_us)
        elif self.is_loading and len(self.stash) < WINDOW:
            # The reader may be about to catch up: these come right after what it finds.
            self.stash.append(delivery)
        else:
            self.miss((delivery.due_us, delivery.key))

    def become_stale(self) -> None:
        """Uri, method, secrets or state changed: nothing more is sent before they have been read again."""
        self.is_stale = True
        self.stale_count += 1

    def miss(self, place: Cursor) -> None:
        """Something at `place` is in the database and not in memory: read on from there at the latest."""
        self.missed_count += 1
        self.behind = True
        self.cursor = min(self.cursor, (place[0], place[1] - 1))

    def expect(self, place: Cursor, now_us: int) -> None:
        """Something at `place` was dropped from memory: it is read again when it is due."""
        if place[0] <= now_us:
            self.miss(place)
        elif self.next_backlog_us is None or place[0] < self.next_backlog_us:
            self.next_backlog_us = place[0]

    def look_again(self) -> None:
        """Read the backlog from its start, although nothing should be there: a safety net, not a mechanism."""
        if self.is_sending and not (self.behind or self.is_loading or self.in_flight_count or self.lanes.held_count):
            self.miss((0, 0))

    def take_loaded(self, rows: list[Delivery], now_us: int) -> None:
        """Take what was read from the backlog, leaving out what is known and what ended meanwhile."""
        for delivery in rows:
            if delivery.key not in self.lanes and delivery.key not in self.ended_while_loading:
                self.lanes.add(delivery, now_us)

    def unstash(self, now_us: int, *, caught_up: bool) -> None:
        """What came in while the backlog was read: it follows directly, or it has to be read too."""
        stash, self.stash = self.stash, []
        if caught_up:
            self.take_loaded(stash, now_us)
        elif stash:
            self.miss(min((delivery.due_us, delivery.key) for delivery in stash))

    def follow(self, destination: Destination) -> None:
        """The destination is this from now on. Another uri, or being enabled again, starts with a clean health."""
        before = self.destination
        self.destination = destination
        self.is_stale = False
        if before is None:
            self.health = resumed(destination.failing_since_us)
        elif before.uri_key != destination.uri_key or before.held_reason != destination.held_reason:
            self.health = CLEAN
            self.start_over()
        self.written_failing_since_us = destination.failing_since_us

    def hold(self, reason: str) -> None:
        """Send nothing more, for `reason`, which is being written down."""
        assert self.destination is not None
        self.destination = msgspec.structs.replace(self.destination, held_reason=reason)
        self.start_over()

    def start_over(self) -> None:
        """Forget what waits in memory and read the backlog from its beginning."""
        self.lanes.clear()
        self.cursor = START
        self.behind = True
        self.needs_start = True
        self.missed_count += 1

    def may_begin(self, now_us: int, slot_count: int) -> bool:
        """Whether one more attempt may begin now."""
        if not self.is_sending or not self.lanes.has_ready:
            return False
        if self.health.is_probing:
            return self.in_flight_count == 0 and now_us >= self.health.next_probe_us
        return self.in_flight_count < slot_count

    def next_wake_us(self) -> int | None:
        """When something is to be done although nobody comes by."""
        wakes = [self.lanes.next_timer_us, self.next_backlog_us]
        if self.health.is_probing and self.in_flight_count == 0 and self.lanes.has_ready:
            wakes.append(self.health.next_probe_us)
        return min((wake for wake in wakes if wake is not None), default=None) if self.is_sending else None
