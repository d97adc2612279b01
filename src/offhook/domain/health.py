"""How a destination is doing, and what that allows.

A destination is healthy until ten attempts in a row have failed. Then it is probed: one event at a time, with gaps
that double from one second to a minute, until one attempt succeeds. Five days of failures without a single success
disable it, as does one 410 (contract, sections 4 and 7).
"""

from __future__ import annotations

import msgspec

PROBE_AFTER_FAILURES = 10
FIRST_GAP_US = 1_000_000
LAST_GAP_US = 60_000_000


class Health(msgspec.Struct, frozen=True):
    """The present run of failures; times in microseconds. All zero and None is a clean health."""

    failure_count: int = 0
    failing_since_us: int | None = None
    gap_us: int = 0
    next_probe_us: int = 0

    @property
    def is_probing(self) -> bool:
        """Whether only one event at a time may go out, and none before `next_probe_us`."""
        return self.failure_count >= PROBE_AFTER_FAILURES

    def failed(self, now_us: int) -> Health:
        """The health after one more failed attempt."""
        count = self.failure_count + 1
        gap_us = next_probe_us = 0
        if count >= PROBE_AFTER_FAILURES:
            gap_us = min(self.gap_us * 2, LAST_GAP_US) if self.gap_us else FIRST_GAP_US
            # Attempts that were under way when probing began do not each double the gap.
            if self.is_probing and now_us < self.next_probe_us:
                gap_us = self.gap_us
            next_probe_us = now_us + gap_us
        since = now_us if self.failing_since_us is None else self.failing_since_us
        return Health(count, since, gap_us, next_probe_us)

    def has_failed_for(self, now_us: int, limit_us: int) -> bool:
        """Whether there has been no success for that long, although it was tried."""
        return self.failing_since_us is not None and now_us - self.failing_since_us >= limit_us


CLEAN = Health()


def resumed(failing_since_us: int | None) -> Health:
    """The health after a restart: one that was failing is probed first, so that a restart hammers nobody."""
    return CLEAN if failing_since_us is None else Health(PROBE_AFTER_FAILURES, failing_since_us)
