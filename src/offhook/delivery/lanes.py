"""The order in which one destination's deliveries go out: pure, no clock and no socket.

Theory of operation. Every subject has a lane, and a lane has at most one attempt under way. A delivery is in one of
these places:

- `waiting` in its lane, never tried (or passed on by a restart), in order;
- `due` in its lane: its retry time has come; these go before the waiting ones;
- in flight: taken with `take`, not yet given back with `settle` or `park`;
- parked: it failed, and its retry time is still to come.

A parked or due delivery *holds* its lane until `order_hold` after the end of its own first failure: no later one of
the same subject is taken meanwhile, unless it succeeds or is given up. After that the others pass it. A parked
delivery that holds nobody any more is dropped from memory (`take_released`): the database knows when it is due.

Memory is bounded. A lane keeps `MAX_LANE` waiting deliveries; if more come, the lane is *spilled*: it remembers the
place of the first one that it turned away and turns away all later ones too, until it has run empty and its owner
reads on from that place (`take_spilled`). Parked deliveries give up their payload, which is read again for the retry.

Deliveries without a subject are in no order: each is a lane of its own.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

from offhook.domain.delivery import Delivery

MAX_LANE = 100
MAX_PARKED = 20_000

Place = tuple[int, int]


class Lane:
    """The deliveries of one subject."""

    __slots__ = ("busy", "due", "holding", "queued", "spilled_from", "subject", "waiting")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.waiting: deque[Delivery] = deque()
        self.due: list[tuple[int, Delivery]] = []
        self.holding: set[int] = set()
        self.busy = False
        self.queued = False
        self.spilled_from: Place | None = None

    @property
    def is_ready(self) -> bool:
        return not self.busy and (bool(self.due) or (bool(self.waiting) and not self.holding))

    @property
    def is_empty(self) -> bool:
        return not (self.busy or self.due or self.waiting or self.holding or self.spilled_from)


class Lanes:
    """All lanes of one destination. Times are microseconds; `now_us` is always the caller's."""

    def __init__(self, order_hold_us: int) -> None:
        self._order_hold_us = order_hold_us
        self._lanes: dict[str, Lane] = {}
        self._lane_of: dict[int, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._timers: list[tuple[int, int, Delivery, bool]] = []
        self._ticket = count()
        self._parked: dict[int, Delivery] = {}
        self._in_flight: dict[int, Delivery] = {}
        self._unwritten: dict[int, int] = {}
        self._released: list[Delivery] = []
        self._spilled: list[Place] = []
        self.held_count = 0
        self.held_bytes = 0

    def __contains__(self, delivery_key: int) -> bool:
        """Whether it is in memory, or what became of it is not yet in the database."""
        return delivery_key in self._lane_of or delivery_key in self._unwritten

    @property
    def has_ready(self) -> bool:
        """Whether `take` would give something."""
        while self._ready and not self._ready[0].is_ready:
            self._ready.popleft().queued = False
        return bool(self._ready)

    @property
    def next_timer_us(self) -> int | None:
        """When `advance` has something to do next."""
        return self._timers[0][0] if self._timers else None

    def add(self, delivery: Delivery, now_us: int) -> bool:
        """Take a delivery into memory. False if its lane is spilled: it stays in the database for now."""
        lane = self._lane_for(delivery.subject)
        if delivery.attempt_count == 0 and (lane.spilled_from or len(lane.waiting) >= MAX_LANE):
            place = (delivery.due_us, delivery.key)
            lane.spilled_from = min(lane.spilled_from or place, place)
            return False
        self._lane_of[delivery.key] = lane
        self._hold(lane, delivery, now_us)
        if delivery.attempt_count == 0:
            self._count(delivery)
            lane.waiting.append(delivery)
        elif delivery.due_us > now_us:
            self._park(delivery)
        else:
            self._count(delivery)
            heapq.heappush(lane.due, (delivery.key, delivery))
        self._queue(lane)
        return True

    def take(self) -> Delivery | None:
        """The next delivery to attempt; its lane is busy until it is settled or parked."""
        if not self.has_ready:
            return None
        lane = self._ready.popleft()
        lane.queued = False
        lane.busy = True
        delivery = heapq.heappop(lane.due)[1] if lane.due else lane.waiting.popleft()
        self._in_flight[delivery.key] = delivery
        return delivery

    def settle(self, delivery: Delivery) -> None:
        """The attempt ended the delivery, for good or ill: its lane goes on. It is known until `written`."""
        lane = self._land(delivery)
        del self._lane_of[delivery.key]
        self._unwritten[delivery.key] = delivery.attempt_count
        lane.holding.discard(delivery.key)
        self._go_on(lane)

    def written(self, delivery_key: int, attempt_count: int) -> bool:
        """The outcome of that attempt is on disk. Whether the delivery is still in memory."""
        if self._unwritten.get(delivery_key) == attempt_count:
            del self._unwritten[delivery_key]
        return delivery_key in self

    def give_back(self, delivery: Delivery) -> None:
        """Nothing came of taking it: it stays pending in the database, and nothing of it is known any more."""
        if delivery.key not in self._in_flight:
            return
        lane = self._land(delivery)
        lane.holding.discard(delivery.key)
        del self._lane_of[delivery.key]
        self._go_on(lane)

    def park(self, delivery: Delivery, now_us: int) -> None:
        """The attempt failed and there will be another at `delivery.due_us`."""
        lane = self._land(delivery)
        self._unwritten[delivery.key] = delivery.attempt_count
        delivery.payload = b""
        self._hold(lane, delivery, now_us)
        self._park(delivery)
        self._go_on(lane)

    def hurry(self, delivery_key: int, now_us: int) -> None:
        """Make a parked delivery due now (somebody asked for it)."""
        delivery = self._parked.get(delivery_key)
        if delivery is not None:
            delivery.due_us = now_us
            self._become_due(delivery)

    def advance(self, now_us: int) -> None:
        """Let everything happen whose time has come."""
        while self._timers and self._timers[0][0] <= now_us:
            _, _, delivery, is_release = heapq.heappop(self._timers)
            lane = self._lane_of.get(delivery.key)
            if lane is None:
                continue
            if is_release:
                self._release(lane, delivery)
            elif self._parked.get(delivery.key) is delivery and delivery.due_us <= now_us:
                self._become_due(delivery)

    def take_released(self) -> list[Delivery]:
        """Parked deliveries that hold nobody any more and were dropped: the database knows when they are due."""
        released, self._released = self._released, []
        return released

    def take_spilled(self) -> Place | None:
        """The earliest place from which a lane that has run empty wants to be read on."""
        places, self._spilled = self._spilled, []
        return min(places, default=None)

    def clear(self) -> None:
        """Forget everything but what is in flight: the database is read again from the start."""
        self._lane_of = {key: self._lane_of[key] for key in self._in_flight}
        for lane in self._lanes.values():
            self._drop_waiting(lane)
        self._lanes = {lane.subject: lane for lane in self._lane_of.values() if lane.subject}
        self.held_count = len(self._in_flight)
        self.held_bytes = sum(len(delivery.payload) for delivery in self._in_flight.values())
        self._ready.clear()
        self._timers.clear()
        self._parked.clear()
        self._released.clear()
        self._spilled.clear()

    def erase(self, subject: str) -> None:
        """Drop what waits in one subject's lane: it was cancelled in the database."""
        lane = self._lanes.get(subject)
        if lane is None:
            return
        for delivery in [*lane.waiting, *(delivery for _, delivery in lane.due)]:
            self._uncount(delivery)
            self._lane_of.pop(delivery.key, None)
        for key in [key for key in self._parked if self._lane_of.get(key) is lane]:
            del self._parked[key]
            self._lane_of.pop(key, None)
        self._drop_waiting(lane)
        self._dispose(lane)

    def _land(self, delivery: Delivery) -> Lane:
        del self._in_flight[delivery.key]
        self._uncount(delivery)
        return self._lane_of[delivery.key]

    def _drop_waiting(self, lane: Lane) -> None:
        lane.waiting.clear()
        lane.due.clear()
        lane.holding.clear()
        lane.spilled_from = None
        lane.queued = False

    def _lane_for(self, subject: str) -> Lane:
        if not subject:
            return Lane("")
        lane = self._lanes.get(subject)
        if lane is None:
            lane = self._lanes[subject] = Lane(subject)
        return lane

    def _hold(self, lane: Lane, delivery: Delivery, now_us: int) -> None:
        if delivery.first_failed_us is None or not lane.subject or len(self._parked) >= MAX_PARKED:
            return
        until = delivery.first_failed_us + self._order_hold_us
        if until > now_us and delivery.key not in lane.holding:
            lane.holding.add(delivery.key)
            heapq.heappush(self._timers, (until, next(self._ticket), delivery, True))

    def _park(self, delivery: Delivery) -> None:
        self._parked[delivery.key] = delivery
        if delivery.key in self._lane_of[delivery.key].holding:
            heapq.heappush(self._timers, (delivery.due_us, next(self._ticket), delivery, False))
        else:
            self._drop_parked(delivery)

    def _drop_parked(self, delivery: Delivery) -> None:
        del self._parked[delivery.key]
        del self._lane_of[delivery.key]
        self._released.append(delivery)

    def _release(self, lane: Lane, delivery: Delivery) -> None:
        lane.holding.discard(delivery.key)
        if delivery.key in self._parked:
            self._drop_parked(delivery)
        self._queue(lane)
        self._dispose(lane)

    def _become_due(self, delivery: Delivery) -> None:
        del self._parked[delivery.key]
        lane = self._lane_of[delivery.key]
        self._count(delivery)
        heapq.heappush(lane.due, (delivery.key, delivery))
        self._queue(lane)

    def _go_on(self, lane: Lane) -> None:
        lane.busy = False
        self._queue(lane)
        if lane.spilled_from and not lane.waiting:
            self._spilled.append(lane.spilled_from)
            lane.spilled_from = None
        self._dispose(lane)

    def _queue(self, lane: Lane) -> None:
        if lane.is_ready and not lane.queued:
            lane.queued = True
            self._ready.append(lane)

    def _dispose(self, lane: Lane) -> None:
        if lane.subject and lane.is_empty and self._lanes.get(lane.subject) is lane:
            del self._lanes[lane.subject]

    def _count(self, delivery: Delivery) -> None:
        self.held_count += 1
        self.held_bytes += len(delivery.payload)

    def _uncount(self, delivery: Delivery) -> None:
        self.held_count -= 1
        self.held_bytes -= len(delivery.payload)
