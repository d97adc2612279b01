"""Time that never runs backwards and never stands still, whatever is done to the machine's clock."""

from __future__ import annotations

import time


class SteadyClock:
    """Microseconds since 1970. It follows the machine's clock forwards; if that is set back, it goes on by itself."""

    def __init__(self, start_us: int = 0) -> None:
        # One attribute: more than one thread asks.
        self._anchor = max(start_us, time.time_ns() // 1000), time.monotonic_ns()

    def now_us(self) -> int:
        """The present moment."""
        tick = time.monotonic_ns()
        anchor_us, anchor_tick = self._anchor
        steady = anchor_us + (tick - anchor_tick) // 1000
        wall = time.time_ns() // 1000
        if wall > steady:
            self._anchor = wall, tick
            return wall
        return steady
