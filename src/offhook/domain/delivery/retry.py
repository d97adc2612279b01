"""When a failed delivery is tried again, and when it is given up (contract, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

DEFAULT_SCHEDULE: tuple[timedelta, ...] = (
    timedelta(seconds=1),
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
    timedelta(hours=24),
)


class RetryPolicy(msgspec.Struct, frozen=True):
    """The gaps between attempts; `by_family` replaces them for a family of events (`call`, `message` …)."""

    schedule: tuple[timedelta, ...] = DEFAULT_SCHEDULE
    jitter: float = 0.2
    by_family: Mapping[str, tuple[timedelta, ...]] = {}

    def delay(self, family: str, attempt_count: int, *, retry_after: timedelta | None, luck: float) -> timedelta | None:
        """How long to wait after the `attempt_count`th attempt failed; None when there shall be no further one.

        `luck` in [0, 1) places the delay within the jitter. A receiver's Retry-After can make the wait longer, never
        shorter: one that always asks for a second would otherwise use up all attempts within moments.
        """
        schedule = self.by_family.get(family, self.schedule)
        if attempt_count > len(schedule):
            return None
        delay = schedule[attempt_count - 1] * (1 - self.jitter + 2 * self.jitter * luck)
        return delay if retry_after is None else max(delay, retry_after)
