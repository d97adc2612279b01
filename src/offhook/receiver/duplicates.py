"""Recognising an event that was already dealt with: webhooks arrive at least once, sometimes twice."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta


class DuplicateFilter:
    """Remembers the ids of events that were dealt with, in the memory of this process.

    Ask, do the work, and only then mark:

        if not duplicates.seen(event.id):
            do_the_work(event)
            duplicates.mark(event.id)

    Marking before the work would lose the event: when the work fails and you answer 500, Offhook sends it
    again, and the second attempt would be taken for a duplicate. Marked afterwards, the worst case is that
    work is done twice: after a crash between the two lines, or when two attempts arrive at the same moment.

    Forgets the oldest beyond `max_count`, and each after `max_age`; Offhook retries for about two days. All of it
    is gone when the process ends, and other processes do not share it. Where doing the work twice costs
    money, or with more than one process, use a database instead: a table whose key is the event's id,
    written in the same transaction as the work. Safe to share between threads.
    """

    def __init__(
        self,
        *,
        max_count: int = 100_000,
        max_age: timedelta = timedelta(days=3),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_count < 1 or max_age <= timedelta(0):
            raise ValueError("max_count and max_age must be positive")
        self._max_count = max_count
        self._max_age_s = max_age.total_seconds()
        self._clock = clock
        self._marked_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def seen(self, event_id: str) -> bool:
        """Whether `event_id` was marked and is still remembered; changes nothing."""
        with self._lock:
            self._forget_old()
            return event_id in self._marked_at

    def mark(self, event_id: str) -> None:
        """Remember that `event_id` is dealt with; marking it again makes it young again."""
        with self._lock:
            self._marked_at[event_id] = self._clock()
            self._marked_at.move_to_end(event_id)
            self._forget_old()

    def __len__(self) -> int:
        with self._lock:
            self._forget_old()
            return len(self._marked_at)

    def _forget_old(self) -> None:
        oldest_allowed = self._clock() - self._max_age_s
        while self._marked_at:
            event_id, marked_at = next(iter(self._marked_at.items()))
            if marked_at >= oldest_allowed and len(self._marked_at) <= self._max_count:
                return
            del self._marked_at[event_id]
