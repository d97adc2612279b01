"""When a failing destination is worth a warning: as it begins, and as it ends, however often it changes its mind.

Pure. One warning begins a run of failures, one ends it. A receiver that answers every other request would make two of
each event: so after one that began, the next one waits for a minute; if it fails then, that is said.
"""

from __future__ import annotations

_QUIET_US = 60_000_000


class Alarm:
    """Of one destination; times in microseconds."""

    def __init__(self) -> None:
        self._is_raised = False
        self._quiet_until_us = 0

    def failed(self, now_us: int) -> bool:
        """An attempt failed: whether to say so."""
        if self._is_raised or now_us < self._quiet_until_us:
            return False
        self._is_raised = True
        self._quiet_until_us = now_us + _QUIET_US
        return True

    def succeeded(self) -> bool:
        """An attempt succeeded: whether to say that it answers again."""
        was_raised, self._is_raised = self._is_raised, False
        return was_raised
