"""A lane: commands that are carried out one after another, in the order in which they were committed."""

from __future__ import annotations

import asyncio
from bisect import insort

from offhook.domain.step import Command, Policy
from offhook.store.commit.port import Order


class Waiting:
    """A command whose end is not known. `spent_s` is how long it was tried, `pause_s` the pause before the next try.

    `is_marked`: its mark is in the row. `was_sent`: a request may have reached whoever carries it out. What is repeated
    anyway needs neither.
    """

    __slots__ = ("is_marked", "is_superseded", "lane", "order", "pause_s", "spent_s", "was_sent")

    def __init__(self, order: Order, lane: Lane, *, is_old: bool) -> None:
        """`is_old`: it was committed before this process began."""
        self.order = order
        self.lane = lane
        self.is_marked = order.pending.begun
        self.was_sent = self.is_marked or (is_old and self.command.policy is Policy.LOOK)
        self.is_superseded = False
        self.spent_s = 0.0
        self.pause_s = 0.0

    @property
    def command(self) -> Command:
        """What is to be done."""
        command: Command = self.order.pending.command
        return command

    @property
    def number(self) -> int:
        """Its place among all commands."""
        return self.order.pending.number

    @property
    def is_begun(self) -> bool:
        """Whether it must not be carried out without having looked for it, if at all."""
        return self.was_sent and self.command.policy is not Policy.AGAIN

    @property
    def is_pointless(self) -> bool:
        """Whether it is superseded, and was not begun."""
        return self.is_superseded and not self.is_begun


class Lane:
    """What waits in it, lowest number first. `is_at_work` while a task of its own is there for it."""

    __slots__ = ("is_at_work", "name", "waiting", "wake")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: list[Waiting] = []
        self.is_at_work = False
        self.wake = asyncio.Event()
        """Ends a pause between two tries."""

    @property
    def first(self) -> Waiting | None:
        """What is next, or being done."""
        return self.waiting[0] if self.waiting else None

    def add(self, one: Waiting) -> None:
        """Put it in its place. Whichever of two supersedes the other, both know."""
        later = [other for other in self.waiting if other.number > one.number]
        one.is_superseded = any(_supersedes(other, one) for other in later)
        for other in self.waiting:
            if other.number < one.number and _supersedes(one, other):
                other.is_superseded = True
                self.wake.set()
        insort(self.waiting, one, key=lambda other: other.number)

    def remove(self, one: Waiting) -> None:
        """It has ended."""
        if one in self.waiting:
            self.waiting.remove(one)


def _supersedes(later: Waiting, earlier: Waiting) -> bool:
    return later.command.supersedes and not earlier.command.tidies
