"""An Asterisk that lives and lets nobody connect is started anew."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from offhook.switch.asterisk.watch import AsteriskWatch
from tests.running import Running
from tests.sipp.switches import eventually, own_asterisk


async def test_one_that_lets_nobody_connect_is_started_anew(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk:
        before = asterisk.pid
        connected = True
        running = Running()
        await running.add(AsteriskWatch(asterisk, lambda: connected, patience_s=5))
        os.kill(before, signal.SIGSTOP)
        await asyncio.sleep(1)
        assert asterisk.pid == before
        connected = False
        await eventually(lambda: asterisk.pid != before, "it is started anew")
        connected = True
        await running.stop()
