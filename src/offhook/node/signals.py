"""Being told to stop: once politely, and once more at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

import structlog

# A terminal, `timeout` or a supervisor signals a whole process group, and the process itself: that is one asking.
_ONE_ASKING_S = 0.5

log = structlog.get_logger()


class StopSignals:
    """SIGTERM and SIGINT: the first asks to stop; another one, half a second later or more, does not ask.

    `on_forced` is called before the process ends at once; it must be quick and needs no event loop.
    """

    def __init__(self, on_forced: Callable[[], None]) -> None:
        self._on_forced = on_forced
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._asked.wait()

    def _on_signal(self) -> None:
        now = time.monotonic()
        if not self._asked.is_set():
            self._asked_at = now
            self._asked.set()
            log.info("node.stopping", hint="attempts under way may finish; once more stops at once")
        elif now - self._asked_at >= _ONE_ASKING_S:
            try:
                self._on_forced()
            finally:
                os._exit(1)
