"""The order in which one destination's deliveries go out: pure, no clock and no socket.

Theory of operation. Every subject has a lane, and a lane has at most one attempt under way. A delivery is in one of
these places:

- `waiting` in its lane, never tried, in order;
- `due` in its lane: its retry time has come; these go before the waiting ones;
- in flight: taken with `take`, not yet given back with `settle`, `park`, `requeue_taken` or `drop_taken`;
- parked: it failed, and its retry time is still to come.

A parked or due delivery *holds* its lane until `order_hold` after the end of its own first failure: no later one of
the same subject is taken meanwhile, unless it succeeds or is given up. After that the others pass it. A parked
delivery that holds nobody any more is dropped from memory (`take_released`): the database knows when it is due.

Memory is bounded. A lane keeps `limits.lane` waiting deliveries; if more come, the lane is *spilled*: it remembers the
place of the first one that it turned away and turns away all later ones too, until it has run empty and its owner
brings it the next few (`next_refill`, `refill`). Lanes that stand still can be made to spill all that waits in them
(`spill_held`, `spill_idle`), so that they take no room from others. Parked deliveries give up their payload, which is
read again for the retry.

Deliveries without a subject are in no order: each is a lane of its own. So is every delivery where `order_hold` is 0.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from itertools import count

from offhook.delivery.lane import Lane, Place
from offhook.delivery.memory import Held, MemoryLimits
from offhook.domain.delivery.delivery import Delivery


class Lanes:
    """All lanes of one destination. Times are microseconds; `now_us` is always the caller's."""

    def __init__(self, order_hold_us: int, limits: MemoryLimits, held: Held) -> None:
        self._order_hold_us = order_hold_us
        self._limits = limits
        self._held = held
        self._lanes: dict[str, Lane] = {}
        self._lane_of: dict[int, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._timers: list[tuple[int, int, Delivery, bool]] = []
        self._ticket = count()
        self._parked: dict[int, Delivery] = {}
        self._in_flight: dict[int, Delivery] = {}
        self._unwritten: dict[int, int] = {}
        self._released: list[Delivery] = []
        self._refills: dict[str, Lane] = {}
        self.held_count = 0
        self.held_bytes = 0

    def __contains__(self, delivery_key: int) -> bool:
        """Whether it is in memory, or what became of it is not yet in the database."""
        return delivery_key in self._lane_of or delivery_key in self._unwritten

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in memory, turned away, or yet to be written."""
        return not (self._lane_of or self._unwritten or self._released or self._lanes)

    @property
    def is_saved(self) -> bool:
        """Whether the database knows all that is in memory."""
        return not (self._in_flight or self._unwritten)

    @property
    def is_ordered(self) -> bool:
        """Whether events of one subject wait for each other."""
        return self._order_hold_us > 0

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

    def behind(self, subject: str, delivery_key: int) -> int | None:
        """The position of the event that this delivery lets go first, by the order of its subject; None if of none."""
        lane = self._lanes.get(subject)
        if lane is None:
            return None
        under_way = {key: delivery for key, delivery in self._in_flight.items() if self._lane_of.get(key) is lane}
        first = {**under_way, **lane.holding}
        return first[min(first)].position if first and delivery_key not in first else None

    def add(self, delivery: Delivery, now_us: int) -> bool:
        """Take a delivery into memory. False if its lane is spilled: it stays in the database for now."""
        lane = self._lane_for(delivery.subject)
        is_full = lane.spilled_from is not None or len(lane.waiting) >= self._limits.lane
        if delivery.attempt_count == 0 and is_full:
            lane.turn_away(delivery)
            self._want_refill(lane)
            return False
        self._accept(lane, delivery, now_us)
        return True

    def take(self) -> Delivery | None:
        """The next delivery to attempt; its lane is busy until it is given back in one of the four ways."""
        if not self.has_ready:
            return None
        lane = self._ready.popleft()
        lane.queued = False
        lane.busy = lane.moved = True
        delivery = heapq.heappop(lane.due)[1] if lane.due else lane.waiting.popleft()
        self._in_flight[delivery.key] = delivery
        return delivery

    def settle(self, delivery: Delivery) -> None:
        """The attempt ended the delivery, for good or ill: its lane goes on. It is known until `note_written`."""
        lane = self._end_attempt(delivery)
        del self._lane_of[delivery.key]
        self._unwritten[delivery.key] = delivery.attempt_count
        lane.holding.pop(delivery.key, None)
        self._go_on(lane)

    def note_written(self, delivery_key: int, attempt_count: int) -> bool:
        """The outcome of that attempt is on disk. Whether the delivery is still in memory."""
        if self._unwritten.get(delivery_key) == attempt_count:
            del self._unwritten[delivery_key]
        return delivery_key in self

    def drop_taken(self, delivery: Delivery) -> None:
        """Nothing came of taking it: nothing of it is known any more."""
        if delivery.key not in self._in_flight:
            return
        lane = self._end_attempt(delivery)
        lane.holding.pop(delivery.key, None)
        del self._lane_of[delivery.key]
        self._go_on(lane)

    def requeue_taken(self, delivery: Delivery) -> bool:
        """Nothing came of taking it: it is the next one of its lane again, and its payload is read again.

        False if it is not under way any more.
        """
        if delivery.key not in self._in_flight:
            return False
        lane = self._end_attempt(delivery)
        delivery.payload = b""
        self._count(delivery)
        heapq.heappush(lane.due, (delivery.key, delivery))
        self._go_on(lane)
        return True

    def forget_in_flight(self, delivery: Delivery) -> None:
        """It was taken, and a fault of ours lost it: `clear` must not keep it."""
        self._in_flight.pop(delivery.key, None)

    def park(self, delivery: Delivery, now_us: int) -> None:
        """The attempt failed and there will be another at `delivery.due_us`."""
        lane = self._end_attempt(delivery)
        self._unwritten[delivery.key] = delivery.attempt_count
        self._hold(lane, delivery, now_us)
        self._park(delivery)
        self._go_on(lane)

    def make_due(self, delivery_key: int, now_us: int) -> None:
        """Make a parked delivery due now (somebody asked for it)."""
        delivery = self._parked.get(delivery_key)
        if delivery is not None:
            delivery.due_us = now_us
            self._become_due(delivery)

    def bring_forward(self, found: Delivery, now_us: int) -> None:
        """The database says when it is due: a parked one that is due earlier by now waits no longer."""
        parked = self._parked.get(found.key)
        if parked is not None and found.key not in self._unwritten and found.due_us < parked.due_us:
            self.make_due(found.key, now_us)

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

    @property
    def wants_refill(self) -> bool:
        """Whether `next_refill` would give something."""
        while self._refills:
            lane = next(iter(self._refills.values()))
            if lane.wants_refill and self._lanes.get(lane.subject) is lane:
                return True
            del self._refills[lane.subject]
        return False

    def next_refill(self) -> tuple[str, Place] | None:
        """The subject that has waited longest for what was turned away, and the place to read on from."""
        if not self.wants_refill:
            return None
        lane = next(iter(self._refills.values()))
        lane.turned_from = None
        assert lane.spilled_from is not None
        return lane.subject, lane.spilled_from

    def refill(self, subject: str, found: Sequence[Delivery], after: Place | None, now_us: int) -> None:
        """Go on with what was turned away: `found` are the next ones, and beyond `after` there may be more.

        Nothing may have been cleared or erased since `next_refill`.
        """
        self._refills.pop(subject, None)
        lane = self._lanes[subject]
        lane.refilled_to(after)
        for delivery in found:
            self._accept(lane, delivery, now_us)
        self._want_refill(lane)
        self._dispose(lane)

    def spill_held(self) -> None:
        """Drop what waits in lanes that wait for a retry: they are refilled once it has come."""
        for lane in self._lanes.values():
            if lane.waiting and lane.holding:
                self._spill(lane)

    def spill_idle(self) -> None:
        """Drop what waits in lanes that cannot go on and have not done so since this was last called."""
        for lane in self._lanes.values():
            if lane.waiting and not lane.moved and not lane.is_ready:
                self._spill(lane)
            lane.moved = False

    def clear(self, *, keep_parked: bool = False) -> None:
        """Forget everything but what the database does not know: the rest is read again from its start.

        That is what is in flight, and what is parked or due again after an attempt that is not yet `note_written`.
        """
        self._ready.clear()
        self._released.clear()
        self._refills.clear()
        if not keep_parked:
            self._parked = {key: delivery for key, delivery in self._parked.items() if key in self._unwritten}
        for lane in self._lanes.values():
            lane.forget_all_but({*self._unwritten, *self._parked})
            # After a fault of ours it may be said to be busy with what was lost.
            lane.busy = False
        for key in self._in_flight:
            if key in self._lane_of:
                self._lane_of[key].busy = True
        due = {key: delivery for lane in self._lanes.values() for key, delivery in lane.due}
        kept = (*self._in_flight, *self._parked, *due)
        self._lane_of = {key: self._lane_of[key] for key in kept if key in self._lane_of}
        self._lanes = {lane.subject: lane for lane in self._lane_of.values() if lane.subject}
        self._timers = [timer for timer in self._timers if timer[2].key in self._lane_of]
        heapq.heapify(self._timers)
        self._recount([*self._in_flight.values(), *due.values()])
        for lane in self._lanes.values():
            self._queue(lane)

    def make_all_due(self, now_us: int) -> None:
        """Make every parked delivery due now."""
        for key in list(self._parked):
            self.make_due(key, now_us)

    def erase(self, subject: str) -> None:
        """Drop what waits in one subject's lane: it was cancelled in the database."""
        lane = self._lanes.get(subject)
        if lane is None:
            return
        for delivery in [*lane.waiting, *(delivery for _, delivery in lane.due)]:
            self._uncount(delivery)
            del self._lane_of[delivery.key]
        for key in [key for key in self._parked if self._lane_of.get(key) is lane]:
            del self._parked[key]
            del self._lane_of[key]
        lane.forget()
        self._dispose(lane)

    def _accept(self, lane: Lane, delivery: Delivery, now_us: int) -> None:
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

    def _spill(self, lane: Lane) -> None:
        for delivery in lane.waiting:
            lane.turn_away(delivery)
            self._uncount(delivery)
            del self._lane_of[delivery.key]
        lane.waiting.clear()
        self._want_refill(lane)

    def _end_attempt(self, delivery: Delivery) -> Lane:
        del self._in_flight[delivery.key]
        self._uncount(delivery)
        return self._lane_of[delivery.key]

    def _lane_for(self, subject: str) -> Lane:
        if not subject or not self._order_hold_us:
            return Lane("")
        lane = self._lanes.get(subject)
        if lane is None:
            lane = self._lanes[subject] = Lane(subject)
        return lane

    def _hold(self, lane: Lane, delivery: Delivery, now_us: int) -> None:
        if delivery.first_failed_us is None or not lane.subject or len(self._parked) >= self._limits.parked:
            return
        until = delivery.first_failed_us + self._order_hold_us
        if until > now_us and delivery.key not in lane.holding:
            lane.holding[delivery.key] = delivery
            heapq.heappush(self._timers, (until, next(self._ticket), delivery, True))

    def _park(self, delivery: Delivery) -> None:
        delivery.payload = b""
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
        lane.holding.pop(delivery.key, None)
        if delivery.key in self._parked:
            self._drop_parked(delivery)
        self._queue(lane)
        self._want_refill(lane)
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
        self._want_refill(lane)
        self._dispose(lane)

    def _queue(self, lane: Lane) -> None:
        if lane.is_ready and not lane.queued:
            lane.queued = True
            self._ready.append(lane)

    def _want_refill(self, lane: Lane) -> None:
        if lane.wants_refill:
            self._refills[lane.subject] = lane

    def _dispose(self, lane: Lane) -> None:
        if lane.subject and lane.is_empty and self._lanes.get(lane.subject) is lane:
            del self._lanes[lane.subject]

    def _count(self, delivery: Delivery) -> None:
        size = len(delivery.payload)
        self.held_count += 1
        self.held_bytes += size
        self._held.count += 1
        self._held.byte_count += size

    def _recount(self, held: Sequence[Delivery]) -> None:
        byte_count = sum(len(delivery.payload) for delivery in held)
        self._held.count += len(held) - self.held_count
        self._held.byte_count += byte_count - self.held_bytes
        self.held_count, self.held_bytes = len(held), byte_count

    def _uncount(self, delivery: Delivery) -> None:
        size = len(delivery.payload)
        self.held_count -= 1
        self.held_bytes -= size
        self._held.count -= 1
        self._held.byte_count -= size
