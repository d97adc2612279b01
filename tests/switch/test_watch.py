"""An Asterisk that lives and lets nobody connect is started anew."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from offhook.switch.asterisk.ari import AriClient
from offhook.switch.asterisk.switch import AsteriskSwitch
from offhook.switch.asterisk.watch import AsteriskWatch
from tests.running import Running
from tests.sipp.proxy import Proxy
from tests.sipp.switches import eventually, own_asterisk


async def test_one_that_lets_nobody_connect_is_started_anew(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk:
        before = asterisk.pid
        connected = True
        looks: list[float] = []

        def is_connected() -> bool:
            looks.append(time.monotonic())
            return connected

        running = Running()
        await running.add(AsteriskWatch(asterisk, is_connected, patience_s=2))
        os.kill(before, signal.SIGSTOP)
        stopped_s = time.monotonic()
        await eventually(lambda: bool(looks) and looks[-1] > stopped_s + 3, "it has looked for long")
        assert asterisk.pid == before
        connected = False
        await eventually(lambda: asterisk.pid != before, "it is started anew")
        connected = True
        await running.stop()


@pytest.mark.parametrize("stalled", [(), ("/applications",), ("/events",)])
async def test_one_that_hangs_as_asterisk_does_is_told_from_a_healthy_one(
    tmp_path: Path, stalled: tuple[str, ...]
) -> None:
    """All other requests go on then: it is no use to ask for something else."""
    async with own_asterisk(tmp_path / "a") as asterisk:
        proxy = Proxy(asterisk.endpoint.url)
        await proxy.start()
        proxy.stalled = stalled
        async with AriClient(proxy.endpoint_for(asterisk.endpoint)) as ari:
            assert await ari.get("asterisk/info")
            assert await ari.is_healthy() is not bool(stalled)
        await proxy.stop()


async def test_a_stream_of_everything_is_never_asked_for(tmp_path: Path) -> None:
    """It hangs Asterisk 22 when it is cut."""
    async with own_asterisk(tmp_path / "a") as asterisk:
        proxy = Proxy(asterisk.endpoint.url)
        await proxy.start()
        switch = AsteriskSwitch(proxy.endpoint_for(asterisk.endpoint), lambda: datetime.now(UTC))
        running = Running()
        await running.add(switch)
        await eventually(lambda: switch.is_connected, "it is connected")
        opened = [line for line in proxy.asked if "/events?" in line and line.startswith("GET")]
        assert opened
        assert not any("subscribeAll" in line for line in opened)
        await running.stop()
        await proxy.stop()
