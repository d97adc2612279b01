"""How a setting is declared: its kind, default, range and help; and the readers that make its value of a text.

Each reader raises ValueError with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

import msgspec

from offhook.quantities import duration, size, web_url

T = TypeVar("T")


class Bounded(msgspec.Struct, Generic[T], frozen=True):
    """A reader that takes only some values; `allowed` says which, as the page of settings shows it."""

    read: Callable[[str], T]
    allowed: str

    def __call__(self, text: str) -> T:
        """The value of a text. Raises ValueError with the reason."""
        return self.read(text)


class Declared(msgspec.Struct, frozen=True):
    """What stands beside a setting's type, in `Annotated`. `read` makes the value of a text, `default` is such a text.

    `by_family`: it may also be set for one family of events (`call`, `message` …); its type is a `ByFamily` then.
    """

    kind: str
    default: str
    read: Callable[[str], Any]
    help: str
    by_family: bool = False

    @property
    def allowed(self) -> str:
        """What it may be beyond its kind; empty if that is all."""
        return self.read.allowed if isinstance(self.read, Bounded) else ""


class ByFamily(msgspec.Struct, Generic[T], frozen=True):
    """A setting's value, and those that were given for one family of events, by family."""

    default: T
    families: Mapping[str, T] = {}


def whole(low: int, high: int) -> Bounded[int]:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return Bounded(read, f"{low} to {high}")


def number(low: float, high: float) -> Bounded[float]:
    """A number from `low` to `high`."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return value

    return Bounded(read, f"{low:g} to {high:g}")


def span(low: str, high: str) -> Bounded[timedelta]:
    """A duration from `low` to `high`."""

    def read(text: str) -> timedelta:
        value = duration(text)
        if not duration(low) <= value <= duration(high):
            raise ValueError(f"must be from {low} to {high}")
        return value

    return Bounded(read, f"{low} to {high}")


def byte_count(low: str, high: str) -> Bounded[int]:
    """A size from `low` to `high`, in bytes."""

    def read(text: str) -> int:
        value = size(text)
        if not size(low) <= value <= size(high):
            raise ValueError(f"must be from {low} to {high}")
        return value

    return Bounded(read, f"{low} to {high}")


def not_empty(text: str) -> str:
    """Any text but none."""
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def url_or_nothing(text: str) -> str:
    """A URL of something that speaks HTTP, or nothing."""
    return web_url(text) if text else ""


def list_of(read_one: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Things separated by commas."""

    def read(text: str) -> tuple[T, ...]:
        return tuple(read_one(part.strip()) for part in text.split(",") if part.strip())

    return read


def one_of(*choices: str) -> Bounded[str]:
    """One of these words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return Bounded(read, ", ".join(choices))


def _schedule(text: str) -> tuple[timedelta, ...]:
    gaps = list_of(_GAP)(text)
    if len(gaps) > _MAX_GAPS:
        raise ValueError(f"must have at most {_MAX_GAPS} entries")
    return gaps


_GAP = span("10ms", "30d")
_MAX_GAPS = 50
schedule = Bounded(_schedule, f"at most {_MAX_GAPS}, each {_GAP.allowed}")
"""Gaps separated by commas."""
