"""Being told to stop: once politely, and once more at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

# A terminal, `timeout` or a supervisor signals a whole process group, and the process itself: that is one asking.
_ONE_ASKING_S = 0.5
# A service manager, Ctrl-C, a terminal that was closed, and a terminal's last word.
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

log = structlog.get_logger()


class StopSignals:
    """SIGTERM, SIGINT, SIGHUP, SIGQUIT: the first asks to stop; another one, half a second later or more, does not ask.

    A SIGHUP that was being ignored still is: `nohup` means that a terminal may be closed.
    `on_forced` is called before the process ends at once; it must be quick and needs no event loop.
    """

    def __init__(self, on_forced: Callable[[], None]) -> None:
        self._on_forced = on_forced
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._loop = asyncio.get_running_loop()
        # Not the loop's own handlers: closing it would put the default back, and a late signal would kill the process.
        for number in _STOPPING:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._asked.wait()

    def _hear(self, _number: int, _frame: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: it is over anyway
            self._loop.call_soon_threadsafe(self._on_signal)

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


def ignore_signals() -> None:
    """It is over: until the process is gone, asking once more changes nothing, and its exit code least of all."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
