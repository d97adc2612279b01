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


class Declared(msgspec.Struct, frozen=True):
    """What stands beside a setting's type, in `Annotated`. `read` makes the value of a text, `default` is such a text.

    `by_family`: it may also be set for one family of events (`call`, `message` …); its type is a `ByFamily` then.
    """

    kind: str
    default: str
    read: Callable[[str], Any]
    help: str
    by_family: bool = False


class ByFamily(msgspec.Struct, Generic[T], frozen=True):
    """A setting's value, and those that were given for one family of events, by family."""

    default: T
    families: Mapping[str, T] = {}


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A number from `low` to `high`."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return value

    return read


def span(low: str, high: str) -> Callable[[str], timedelta]:
    """A duration from `low` to `high`."""

    def read(text: str) -> timedelta:
        value = duration(text)
        if not duration(low) <= value <= duration(high):
            raise ValueError(f"must be from {low} to {high}")
        return value

    return read


def byte_count(low: str, high: str) -> Callable[[str], int]:
    """A size from `low` to `high`, in bytes."""

    def read(text: str) -> int:
        value = size(text)
        if not size(low) <= value <= size(high):
            raise ValueError(f"must be from {low} to {high}")
        return value

    return read


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


def one_of(*choices: str) -> Callable[[str], str]:
    """One of these words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return read


def schedule(text: str) -> tuple[timedelta, ...]:
    """At most 50 gaps, separated by commas."""
    gaps = list_of(span("10ms", "30d"))(text)
    if len(gaps) > 50:
        raise ValueError("must have at most 50 entries")
    return gaps
