"""The last resort over an embedded Asterisk that lives and lets nobody connect: it is killed, and started anew.

Whether it lets somebody connect is asked of it, not taken from our own connection alone. Until it is killed its calls
are over for us anyway (`CallSettings.lost_after`).
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import structlog

from offhook.node.service import Service
from offhook.switch.asterisk.embedded import EmbeddedAsterisk

_PATIENCE_S = 35.0
_LOOK_S = 0.5

log = structlog.get_logger()


class AsteriskWatch(Service):
    """Kills an Asterisk that nobody could connect to for `patience_s`; its supervisor starts another one."""

    def __init__(
        self, asterisk: EmbeddedAsterisk, is_connected: Callable[[], bool], *, patience_s: float = _PATIENCE_S
    ) -> None:
        self._asterisk = asterisk
        self._is_connected = is_connected
        self._patience_s = patience_s

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "asterisk watch"

    async def run(self) -> None:
        """Look, for ever."""
        seen, process = time.monotonic(), self._asterisk.process
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._is_connected() or self._asterisk.process != process:
                # A new one has as long as any to be there.
                seen, process = time.monotonic(), self._asterisk.process
            elif time.monotonic() - seen > self._patience_s:
                if not await self._asterisk.is_healthy():
                    log.error("asterisk.hangs", pid=process.pid, hint="it is started anew")
                    # This very one: another may have been started while it was asked.
                    process.send(signal.SIGKILL)
                seen = time.monotonic()
