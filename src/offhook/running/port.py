"""What the runner needs of others: of the store, and of whoever carries commands out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from offhook.domain.step import Outcome
from offhook.store.commit.port import Order, Row, Write
from offhook.store.commit.unit import Result, Unit

T = TypeVar("T")


class Clock(Protocol):
    """Time that never runs backwards."""

    def now_us(self) -> int:
        """Microseconds since 1970."""
        ...


class Committed(Protocol):
    """What one group made durable. Told in the order of commits, and before anybody gets an answer."""

    @property
    def changes(self) -> Sequence[Write]:
        """Every row that was written, once, as it is now."""
        ...

    @property
    def orders(self) -> Sequence[Order]:
        """The commands that it added, lowest number first."""
        ...

    @property
    def everything(self) -> bool:
        """Whether what was committed is not known: read again."""
        ...


class Tables(Protocol):
    """Queries over the rows of all kinds. What cannot be decoded is left out."""

    def open(self, connection: Any) -> Sequence[Row]:
        """Those that are not over, or have commands whose end is not known."""
        ...

    def due(self, connection: Any, until: datetime) -> Sequence[Row]:
        """Those with a timer that is due by then, the earliest first."""
        ...


class Store(Protocol):
    """Where inputs are decided and rows are kept."""

    @property
    def clock(self) -> Clock:
        """The time of what is written. May be another clock after the database was away."""
        ...

    @property
    def tables(self) -> Tables:
        """For `read`."""
        ...

    def subscribe(self, listener: Callable[[Any], None]) -> None:
        """Call `listener` with every `Committed`, in order, in the event loop. It must not block nor raise."""
        ...

    async def apply(self, units: Sequence[Unit]) -> Sequence[Result]:
        """Decide these units, one after another, in one write; their results once that is durable.

        Each is done whole or not at all. Raises UnavailableError (nothing was accepted) and UnknownEndError, one of
        those (nobody can tell).
        """
        ...

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run `query` on a consistent snapshot. Raises what it raises, and UnavailableError."""
        ...


class Carrier(Protocol):
    """Whoever carries commands out: one request a command. Raises only for faults of ours."""

    async def carry_out(self, command: Any) -> Outcome:
        """Do it. `Unavailable` may be asked again; it may have been done or not, unless it `is_undone`."""
        ...

    async def look(self, command: Any) -> Outcome:
        """Whether a command that was begun was carried out: Done, Absent, Unknown, or Unavailable for now."""
        ...
