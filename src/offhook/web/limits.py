"""Rate limits: token buckets per key, in bounded memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

import msgspec

from offhook.domain.errors import OverLimitError

_MAX_KEYS = 50_000


class Rate(msgspec.Struct, frozen=True):
    """So many a second on average, so many at once. No limit where `per_second` is 0."""

    per_second: float
    burst: float


class Buckets:
    """A bucket per address, customer or username."""

    def __init__(self, rate: Rate, limited_by: str) -> None:
        self._rate = rate
        self._limited_by = limited_by
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, count: float = 1.0) -> None:
        """Take `count` tokens from the key's bucket. Raises OverLimitError when they are not there.

        More than fits into a bucket is allowed once it is full, and paid back by waiting longer afterwards.
        """
        rate = self._rate
        if not rate.per_second:
            return
        now = time.monotonic()
        level, at = self._buckets.get(key, (rate.burst, now))
        level = min(rate.burst, level + (now - at) * rate.per_second)
        needed = min(count, rate.burst)
        if level < needed:
            self._keep(key, level, now)
            wait_s = math.ceil((needed - level) / rate.per_second)
            raise OverLimitError(
                f"Too many requests from this {self._limited_by}. Try again in {wait_s} s.",
                retry_after_s=max(1, wait_s),
                details=[{"limited_by": self._limited_by}],
            )
        self._keep(key, level - count, now)

    def _keep(self, key: str, level: float, now: float) -> None:
        self._buckets[key] = (level, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)
