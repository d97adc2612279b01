"""What is counted of a destination: in a minute, in an hour, or in any time that is made of these.

What happened is counted in the minute in which it was written down. Points in time are microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

import msgspec

from offhook.domain.delivery.latency import share_ms, step_of

K = TypeVar("K")

_MICROSECOND = timedelta(microseconds=1)
MINUTE_US = timedelta(minutes=1) // _MICROSECOND
HOUR_US = timedelta(hours=1) // _MICROSECOND
DAY_US = timedelta(days=1) // _MICROSECOND

MINUTES_KEPT = timedelta(days=8)
"""How long counts are kept by the minute; after that by the hour."""
HOURS_KEPT = timedelta(days=35)
"""How long they are kept at all."""

FailureKind = tuple[str, int | None]
"""How an attempt failed: its outcome, and the status if there was an answer."""


class Counts(msgspec.Struct):
    """Of some time: the deliveries created and those given up or cancelled in it, and the attempts that ended in it.

    `first` and `later` are the attempts that succeeded, at the first try or not, by the step of the time that had
    passed since the delivery was created (`latency`).
    """

    created: int = 0
    exhausted: int = 0
    cancelled: int = 0
    first: dict[int, int] = msgspec.field(default_factory=dict)
    later: dict[int, int] = msgspec.field(default_factory=dict)
    failures: dict[FailureKind, int] = msgspec.field(default_factory=dict)

    @property
    def has_attempts(self) -> bool:
        """Whether any attempt ended."""
        return bool(self.first or self.later or self.failures)

    @property
    def first_count(self) -> int:
        """How many were delivered at the first try."""
        return sum(self.first.values())

    @property
    def later_count(self) -> int:
        """How many were delivered by a later try."""
        return sum(self.later.values())

    @property
    def succeeded_count(self) -> int:
        """How many were delivered."""
        return self.first_count + self.later_count

    @property
    def failed_count(self) -> int:
        """How many attempts failed."""
        return sum(self.failures.values())

    @property
    def success_rate(self) -> float | None:
        """The share of all attempts that succeeded; None if there was no attempt."""
        succeeded = self.succeeded_count
        attempts = succeeded + self.failed_count
        return succeeded / attempts if attempts else None

    def succeeded(self, number: int, took_us: int) -> None:
        """Count an attempt that succeeded, the `number`-th at its delivery, so long after that was created."""
        steps, step = self.first if number == 1 else self.later, step_of(took_us)
        steps[step] = steps.get(step, 0) + 1

    def failed(self, kind: FailureKind) -> None:
        """Count an attempt that failed."""
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def add(self, more: Counts) -> None:
        """Count what `more` has counted."""
        self.created += more.created
        self.exhausted += more.exhausted
        self.cancelled += more.cancelled
        _add(self.first, more.first)
        _add(self.later, more.later)
        _add(self.failures, more.failures)

    def latency_ms(self, share: float) -> float | None:
        """The latency that this share of what was delivered kept below, or had, retries included."""
        both = dict(self.first)
        _add(both, self.later)
        return share_ms(both, share)

    def first_try_latency_ms(self, share: float) -> float | None:
        """The same of what was delivered at the first try."""
        return share_ms(self.first, share)


def window_start_us(now_us: int, seconds: int) -> int:
    """Where a time begins that ends now and is at least so long: at a full minute, beyond eight days at a full hour."""
    start_us = now_us - seconds * 1_000_000
    return start_us - start_us % (MINUTE_US if timedelta(seconds=seconds) <= MINUTES_KEPT else HOUR_US)


def rolled_up_before_us(now_us: int) -> int:
    """Minutes that began before this moment, a full hour, are kept by the hour."""
    return _full_hour(now_us, MINUTES_KEPT)


def forgotten_before_us(now_us: int) -> int:
    """Hours that began before this moment are kept no more."""
    return _full_hour(now_us, HOURS_KEPT)


def _full_hour(now_us: int, ago: timedelta) -> int:
    moment_us = now_us - ago // _MICROSECOND
    return moment_us - moment_us % HOUR_US


def _add(to: dict[K, int], more: Mapping[K, int]) -> None:
    for key, count in more.items():
        to[key] = to.get(key, 0) + count
