"""One subject's deliveries at run time; `lanes` holds the rules of many."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Container

from offhook.domain.delivery.delivery import Delivery

Place = tuple[int, int]
"""Where a delivery stands in its subject: the event's sequence, and the delivery's key."""


def place_of(delivery: Delivery) -> Place:
    """The place of `delivery` in its subject."""
    return delivery.sequence or 0, delivery.key


class Lane:
    """The deliveries of one subject that are in memory, and from which place on there are others that are not.

    `turned_from` is the first place turned away since the last refill began. `moved` tells whether anything was taken
    since that was last asked.
    """

    __slots__ = ("busy", "due", "holding", "moved", "queued", "spilled_from", "subject", "turned_from", "waiting")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.waiting: deque[Delivery] = deque()
        self.due: list[tuple[int, Delivery]] = []
        self.holding: dict[int, Delivery] = {}
        self.busy = False
        self.queued = False
        self.moved = True
        self.spilled_from: Place | None = None
        self.turned_from: Place | None = None

    @property
    def is_ready(self) -> bool:
        """Whether its next delivery may be attempted."""
        return not self.busy and (bool(self.due) or (bool(self.waiting) and not self.holding))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of its subject."""
        return not (self.busy or self.due or self.waiting or self.holding or self.spilled_from)

    @property
    def wants_refill(self) -> bool:
        """Whether it could go on, if what it turned away were in memory."""
        return self.spilled_from is not None and not (self.busy or self.waiting or self.holding)

    def turn_away(self, delivery: Delivery) -> None:
        """Leave `delivery` to the database, and all that come after it."""
        place = place_of(delivery)
        self.spilled_from = min(self.spilled_from or place, place)
        self.turned_from = min(self.turned_from or place, place)

    def refilled_to(self, after: Place | None) -> None:
        """What was turned away is in memory up to `after` (None: all of it), but for what was turned away since."""
        places = [place for place in (after, self.turned_from) if place is not None]
        self.spilled_from = min(places, default=None)
        self.turned_from = None

    def forget(self) -> None:
        """Drop everything but an attempt that is under way."""
        self.forget_all_but(())

    def forget_all_but(self, keys: Container[int]) -> None:
        """Drop what waits; of what has failed before, keep `keys`."""
        self.waiting.clear()
        self.due = [entry for entry in self.due if entry[0] in keys]
        heapq.heapify(self.due)
        self.holding = {key: delivery for key, delivery in self.holding.items() if key in keys}
        self.spilled_from = self.turned_from = None
        self.queued = False
