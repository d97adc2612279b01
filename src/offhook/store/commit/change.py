"""What is in the writer's queue, and what its caller is told when it could not be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from offhook.domain.errors import UnavailableError
from offhook.store.commit.committed import Committed
from offhook.store.commit.transaction import Transaction
from offhook.store.commit.unit import Result, Unit

T = TypeVar("T")


class UnknownEndError(UnavailableError):
    """Whether it was done is not known."""

    default_reason = "OUTCOME_UNKNOWN"


class Queued(Generic[T]):
    """What waits to be committed, its caller's future, and how it ended."""

    __slots__ = ("error", "future", "result")

    def __init__(self, future: asyncio.Future[T]) -> None:
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None


class Change(Queued[T]):
    """A function that is run in the group's transaction."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[Transaction], T], future: asyncio.Future[T]) -> None:
        super().__init__(future)
        self.run = run


class UnitBatch(Queued[list[Result]]):
    """Units that are decided one after another, in one write."""

    __slots__ = ("units",)

    def __init__(self, units: Sequence[Unit], future: asyncio.Future[list[Result]]) -> None:
        super().__init__(future)
        self.units = units


class Told(Protocol):
    """Is told, on the writer's thread, what became of changes."""

    def ended(self, group: Sequence[Queued[Any]], committed: Committed) -> None:
        """These changes have their `result` or `error`; this was committed."""


def refusal() -> UnavailableError:
    """What a caller is told whose change was not committed."""
    return UnavailableError("The database cannot be written right now. Nothing was accepted; try again in a moment.")


def unknown_end() -> UnknownEndError:
    """What a caller is told whose change may have been committed, or not."""
    return UnknownEndError(
        "The database went away. Whether this was accepted is not known; repeat it with the same id or Idempotency-Key."
    )
