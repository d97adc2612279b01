"""Long work in the event loop, a few milliseconds at a time.

A worker thread would not help: reading JSON holds the interpreter just the same, and for as long as each of its calls
takes. A slice ends at the first step after its time, and everything else that is ready comes before the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

_SLICE_S = 0.003


class TimeSlices:
    """Takes turns among all who have long work, so that many at once hold the loop no longer than one."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Walk `steps` to their end; what they return. Raises what they raise."""
        while True:
            async with self._turn:
                end_s = time.perf_counter() + _SLICE_S
                try:
                    while time.perf_counter() < end_s:
                        next(steps)
                except StopIteration as ended:
                    result: T = ended.value
                    return result
                # Still one's turn: whoever waits begins after everything else that is ready now.
                await asyncio.sleep(0)
