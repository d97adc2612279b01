"""Real Asterisks for the tests: one that they share, and others of their own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from offhook.switch.asterisk.ari import AriEndpoint
from offhook.switch.asterisk.configuration import Rtp
from offhook.switch.asterisk.embedded import EmbeddedAsterisk
from offhook.switch.asterisk.installation import default_root
from offhook.switch.asterisk.process import ProcessId
from tests.ports import free_port, voice_ports
from tests.running import Running


class SharedAsterisk:
    """An Asterisk that runs on its own, as one does whose server was killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sip_port = free_port()
        self.endpoint: AriEndpoint = asyncio.run(self._start())

    @property
    def sip(self) -> str:
        """Where phones call."""
        return f"127.0.0.1:{self.sip_port}"

    def supervisor(self) -> EmbeddedAsterisk:
        """Somebody to start it, or adopt it."""
        return EmbeddedAsterisk(
            self.folder, default_root(), sip_host="127.0.0.1", sip_port=self.sip_port, rtp=Rtp(*voice_ports())
        )

    def stop(self) -> None:
        """End it."""
        asyncio.run(self._stop())

    async def _start(self) -> AriEndpoint:
        supervisor = self.supervisor()
        await supervisor.start()
        return supervisor.endpoint

    async def _stop(self) -> None:
        supervisor = self.supervisor()
        await supervisor.start()
        await supervisor.stop()


@contextlib.asynccontextmanager
async def own_asterisk(
    folder: Path, *, sip_host: str = "127.0.0.1", rtp: Rtp | None = None
) -> AsyncIterator[EmbeddedAsterisk]:
    """An Asterisk for one test, which may do with it what it likes."""
    running = Running()
    asterisk = EmbeddedAsterisk(
        folder, default_root(), sip_host=sip_host, sip_port=free_port(), rtp=rtp or Rtp(*voice_ports())
    )
    try:
        yield await running.add(asterisk)
    finally:
        await running.stop()


def process_of(pid: int) -> ProcessId:
    """The process that runs under this id."""
    process = ProcessId.of(pid)
    assert process is not None
    return process


async def eventually(condition: Callable[[], bool | Awaitable[bool]], what: str, timeout_s: float = 40) -> None:
    """Wait until `condition` holds; fail saying `what` did not happen."""
    deadline = time.monotonic() + timeout_s
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < deadline, f"did not happen in {timeout_s} s: {what}"
        await asyncio.sleep(0.02)
