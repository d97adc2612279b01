"""One destination's queue at run time: its lanes, its health, and where in the backlog it has read to."""

from __future__ import annotations

import asyncio

import msgspec

from offhook.delivery.alarm import Alarm
from offhook.delivery.lane import Place
from offhook.delivery.lanes import Lanes
from offhook.delivery.memory import Held, MemoryLimits
from offhook.delivery.requests import RequestWriter
from offhook.domain.delivery.delivery import Delivery, Destination
from offhook.domain.delivery.health import CLEAN, Failure, Health, resumed
from offhook.store.queries.backlog import START, Cursor

Run = tuple[int | None, Failure | None, bool]
"""What is written down of a run of failures: its start, how the last attempt failed, and whether it is probed."""
NO_RUN: Run = (None, None, False)

# How long lanes may stand still, while there is no room for others, before they give up what waits in them.
IDLE_US = 1_000_000
# How often lanes that wait for a retry are asked to, meanwhile.
HELD_US = 20_000
# A commit is told of within a minute of its own time.
_COMMIT_US = 60_000_000


class DestinationQueue:
    """What is known of one destination. Everything here happens in the event loop; times are microseconds.

    `behind` says that the database may hold deliveries, due by now, that memory does not; while it does, new ones are
    not taken into memory either, so that none overtakes what is still to be read. `epoch` counts the times at which
    what had been read before became worthless.
    """

    def __init__(self, key: int, order_hold_us: int, limits: MemoryLimits, held: Held, user_agent: str) -> None:
        self.key = key
        self.lanes = Lanes(order_hold_us, limits, held)
        self._user_agent = user_agent
        self.destination: Destination | None = None
        self.writer: RequestWriter | None = None
        self.health: Health = CLEAN
        self.alarm = Alarm()
        self.written_run: Run = NO_RUN
        self.in_flight_count = 0
        self.behind = True
        self.is_loading = False
        self.is_stale = True
        self.stale_count = 0
        self.arrived_while_loading: list[Delivery] = []
        self.needs_start = True
        self.cursor: Cursor = START
        self.rewind_count = 0
        self.epoch = 0
        self.ended_while_loading: set[int] = set()
        self.next_backlog_us: int | None = None
        self.next_spill_us: int | None = None
        self.next_spill_held_us = 0
        self.timer: asyncio.TimerHandle | None = None
        self._limits = limits
        self._held = held

    @property
    def is_sending(self) -> bool:
        """Whether attempts may begin at all."""
        return self.destination is not None and not self.is_stale and self.destination.held_reason == ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost if it is forgotten: what is known of it is in the database, or is nothing."""
        if self.in_flight_count or self.is_loading or self.is_stale or not self.lanes.is_saved:
            return False
        if not self.is_sending:
            # Everything is read when it is in use again.
            return True
        has_more = (
            self.behind or self.next_backlog_us is not None or self.arrived_while_loading or not self.lanes.is_empty
        )
        return not has_more and self.health == CLEAN and self.written_run == NO_RUN

    @property
    def wants_backlog(self) -> bool:
        """Whether there is something to read, and room for it."""
        if self.is_stale:
            return True
        return self.is_sending and (self.wants_refill or self.wants_chunk)

    @property
    def wants_refill(self) -> bool:
        """Whether a spilled lane can go on, and there is room for it or nothing else to send."""
        if not self.lanes.wants_refill:
            return False
        return self.lanes.held_count <= self._window // 2 or not self.lanes.has_ready

    @property
    def wants_chunk(self) -> bool:
        """Whether there is a backlog beyond the cursor, and room for a good part of it."""
        return self.behind and self.lanes.held_count <= self._window // 2 and self._has_room

    @property
    def room(self) -> int:
        """How many deliveries a read may bring: always a few."""
        return max(self._limits.floor, self._window - self.lanes.held_count)

    @property
    def _window(self) -> int:
        held, limits = self._held, self._limits
        is_node_full = held.count >= limits.total or held.byte_count >= limits.total_bytes
        return limits.floor if is_node_full or self.health.is_probing else limits.window

    @property
    def _has_room_beside_lanes(self) -> bool:
        return len(self.arrived_while_loading) < self._window - self.lanes.held_count

    @property
    def _has_room(self) -> bool:
        return self.lanes.held_count < self._window and self.lanes.held_bytes < self._limits.window_bytes

    def offer(self, delivery: Delivery, now_us: int) -> None:
        """Take a delivery that was committed just now, if it can be sent from memory."""
        if self.is_sending and not self.behind and self._has_room:
            # The backlog may have been read after the commit and before it was told of.
            if delivery.key not in self.lanes:
                self.lanes.add(delivery, now_us)
        elif self.is_loading and self.is_sending and self._has_room_beside_lanes:
            # The reader may be about to catch up: these come right after what it finds.
            self.arrived_while_loading.append(delivery)
        else:
            self.read_from((delivery.due_us, delivery.key))

    def mark_stale(self) -> None:
        """Uri, method, secrets or state changed: nothing more is sent before they have been read again."""
        self.is_stale = True
        self.stale_count += 1

    def read_from(self, place: Cursor) -> None:
        """Something at `place` is in the database and not in memory: read on from there at the latest."""
        self.rewind_count += 1
        self.behind = True
        self.cursor = min(self.cursor, (place[0], place[1] - 1))

    def read_from_commit(self, now_us: int) -> None:
        """A commit that was told of just now made deliveries due at its own time."""
        self.read_from((now_us - _COMMIT_US, 0))

    def read_when_due(self, place: Cursor, now_us: int) -> None:
        """Something at `place` was dropped from memory: it is read again when it is due."""
        if place[0] <= now_us:
            self.read_from(place)
        else:
            self.read_at(place[0])

    def read_at(self, due_us: int | None) -> None:
        """Look into the backlog at `due_us` at the latest."""
        if due_us is not None and (self.next_backlog_us is None or due_us < self.next_backlog_us):
            self.next_backlog_us = due_us

    def read_from_start_if_idle(self) -> None:
        """Something due was seen in the database: read the backlog from its start, unless that is under way."""
        if self.is_sending and not (self.behind or self.is_loading or self.in_flight_count or self.lanes.held_count):
            self.read_from(START)

    def reread_everything(self) -> None:
        """What was committed is not known: read everything again, the destination itself too."""
        if not (self.is_stale and self.needs_start) or self.is_loading:
            self.mark_stale()
            self.start_over()

    def begin_empty(self, destination: Destination, now_us: int) -> None:
        """A commit was the first to tell of it, and before that commit the database holds nothing of it."""
        self.set_destination(destination, now_us)
        self.needs_start = self.behind = False

    def take_loaded(self, rows: list[Delivery], now_us: int) -> None:
        """Take what was read from the backlog, leaving out what is known and what ended meanwhile."""
        for delivery in rows:
            if delivery.key not in self.ended_while_loading:
                # It may have been made due earlier than it was when it was read.
                self.lanes.bring_forward(delivery, now_us)
        for delivery in self._unknown(rows):
            self.lanes.add(delivery, now_us)

    def take_refill(self, subject: str, rows: list[Delivery], after: Place | None, now_us: int) -> None:
        """Take what was read for one spilled lane; beyond `after` there may be more."""
        self.lanes.refill(subject, self._unknown(rows), after, now_us)

    def _unknown(self, rows: list[Delivery]) -> list[Delivery]:
        return [row for row in rows if row.key not in self.lanes and row.key not in self.ended_while_loading]

    def take_arrived(self, now_us: int, *, caught_up: bool) -> None:
        """What came in while the backlog was read: it follows directly, or it has to be read too."""
        arrived, self.arrived_while_loading = self.arrived_while_loading, []
        if caught_up:
            self.take_loaded(arrived, now_us)
        elif arrived:
            self.read_from(min((delivery.due_us, delivery.key) for delivery in arrived))

    def erase(self, subject: str) -> None:
        """What is pending of one subject was cancelled: forget it, and what is being read."""
        self.epoch += 1
        self.arrived_while_loading = [
            delivery for delivery in self.arrived_while_loading if delivery.subject != subject
        ]
        if self.lanes.is_ordered:
            self.lanes.erase(subject)
        else:
            self.start_over()

    def set_destination(self, destination: Destination | None, now_us: int) -> None:
        """The destination is this from now on. Another uri, or being enabled again, starts with a clean health.

        None: there is none any more.
        """
        before = self.destination
        self.writer = RequestWriter(destination, self._user_agent) if destination else None
        self.destination = destination
        self.is_stale = False
        if destination is None:
            return
        if before is None:
            self.health = resumed(destination.failing_since_us, destination.failure, is_probed=destination.is_probed)
        elif before.uri_key != destination.uri_key or before.held_reason != destination.held_reason:
            self.health = CLEAN
            self.alarm = Alarm()
            # What failed just before this was committed may have been written down just after it, for much later.
            self.start_over(keep_parked=True)
            self.lanes.make_all_due(now_us)
        self.written_run = (destination.failing_since_us, destination.failure, destination.is_probed)

    def hold(self, reason: str) -> None:
        """Send nothing more, for `reason`, which is being written down."""
        assert self.destination is not None
        self.destination = msgspec.structs.replace(self.destination, held_reason=reason)
        self.start_over()

    def start_over(self, *, keep_parked: bool = False) -> None:
        """Forget what waits in memory and read the backlog from its beginning."""
        self.lanes.clear(keep_parked=keep_parked)
        self.cursor = START
        self.behind = True
        self.needs_start = True
        self.rewind_count += 1
        self.epoch += 1

    def make_room(self, now_us: int) -> None:
        """While others cannot be read for want of room, lanes that stand still give up what waits in them."""
        # A probe needs no more than one that is ready.
        has_enough = self.wants_chunk or (self.health.is_probing and self.lanes.has_ready)
        if not (self.is_sending and self.behind) or has_enough:
            self.next_spill_us = None
            return
        if self.next_spill_us is None:
            self.next_spill_us = now_us + IDLE_US
        if now_us >= self.next_spill_held_us:
            self.next_spill_held_us = now_us + HELD_US
            self.lanes.spill_held()
        if now_us >= self.next_spill_us:
            self.next_spill_us = now_us + IDLE_US
            self.lanes.spill_idle()

    def may_begin(self, now_us: int, slot_count: int) -> bool:
        """Whether one more attempt may begin now."""
        if not self.is_sending or not self.lanes.has_ready:
            return False
        if self.health.is_probing:
            return self.in_flight_count == 0 and now_us >= self.health.next_probe_us
        return self.in_flight_count < slot_count

    def next_wake_us(self, now_us: int) -> int | None:
        """When something is to be done although nobody comes by.

        Never now: what is due and was not done waits for room, a read or the end of an attempt, and these come by.
        """
        if not self.is_sending:
            return None
        wakes = [self.lanes.next_timer_us, self.next_backlog_us, self.next_spill_us]
        if self.health.is_probing and self.in_flight_count == 0 and self.lanes.has_ready:
            wakes.append(self.health.next_probe_us)
        return min((wake for wake in wakes if wake is not None and wake > now_us), default=None)
