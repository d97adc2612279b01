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


class Failure(msgspec.Struct, frozen=True):
    """How an attempt failed: outcome, the status if there was an answer, and what more is known if there was none."""

    outcome: str
    status_code: int | None = None
    detail: str = ""


class Health(msgspec.Struct, frozen=True):
    """The present run of failures, and how the last one was; times in microseconds. All zero and None is clean."""

    failure_count: int = 0
    failing_since_us: int | None = None
    probing_since_us: int = 0
    gap_us: int = 0
    next_probe_us: int = 0
    failure: Failure | None = None

    @property
    def is_probing(self) -> bool:
        """Whether only one event at a time may go out, and none before `next_probe_us`."""
        return self.failure_count >= PROBE_AFTER_FAILURES

    def failed(self, began_us: int, now_us: int, failure: Failure | None = None) -> Health:
        """The health after an attempt that began at `began_us` failed at `now_us`."""
        count = self.failure_count + 1
        since = now_us if self.failing_since_us is None else self.failing_since_us
        if count < PROBE_AFTER_FAILURES:
            return Health(count, since, failure=failure)
        if not self.is_probing:
            return Health(count, since, now_us, FIRST_GAP_US, now_us + FIRST_GAP_US, failure)
        if began_us < self.probing_since_us:
            # It was under way already when probing began: no probe, so that it changes no gap.
            return msgspec.structs.replace(self, failure_count=count, failure=failure)
        gap_us = min(self.gap_us * 2, LAST_GAP_US) if self.gap_us else FIRST_GAP_US
        return Health(count, since, self.probing_since_us, gap_us, now_us + gap_us, failure)

    def has_failed_for(self, now_us: int, limit_us: int) -> bool:
        """Whether there has been no success for that long, although it was tried."""
        return self.failing_since_us is not None and now_us - self.failing_since_us >= limit_us


CLEAN = Health()


def resumed(failing_since_us: int | None, failure: Failure | None, *, is_probed: bool) -> Health:
    """The health after a restart: one that was probed is probed first, so that a restart hammers nobody."""
    if failing_since_us is None:
        return CLEAN
    return Health(PROBE_AFTER_FAILURES if is_probed else 1, failing_since_us, failure=failure)
