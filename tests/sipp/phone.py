"""Running SIPp as a phone that calls, from the machine's packages or from those unpacked for the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from offhook.switch.asterisk.installation import command
from tests.sipp.scenarios import write_scenario

TOOLS = Path(sys.prefix) / "share" / "offhook" / "tools"


def sipp_command() -> list[str]:
    """How to run SIPp here; without one the test cannot be run at all."""
    if (TOOLS / "usr/bin/sipp").is_file():
        return command(TOOLS, "usr/bin/sipp")
    found = shutil.which("sipp")
    if found is None:
        pytest.fail("There is no SIPp: run `make test` once, it fetches one, or install sip-tester.")
    return [found]


class Phone:
    """One run of SIPp, which may place many calls."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    async def done(self, timeout_s: float = 30) -> None:
        """Wait for it. Fails the test, with what SIPp wrote, unless every call went as its scenario says."""
        async with asyncio.timeout(timeout_s):
            output, _ = await self._process.communicate()
        if self._process.returncode:
            errors = "".join(path.read_text(errors="replace") for path in self._folder.glob("*_errors.log"))
            pytest.fail(f"SIPp ended with {self._process.returncode}:\n{errors[-3000:]}\n{output.decode()[-1500:]}")


@contextlib.asynccontextmanager
async def phone(
    scenario: str,
    switch: str,
    folder: Path,
    *,
    dialled: str = "100",
    caller: str = "+15550100123",
    caller_name: str = "R. Miller",
    pause_ms: int = 300,
    call_count: int = 1,
    at_once: int | None = None,
    timeout_s: int = 40,
    options: Sequence[str] = (),
    rtp_port: int = 16_000,
    address: str = "127.0.0.1",
) -> AsyncIterator[Phone]:
    """Call `dialled` at `switch` (HOST:PORT) from `address`, as the scenario says, `at_once` calls at a time (or all).

    `options` are more of SIPp's. It is gone at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *sipp_command(), switch, "-sf", str(write_scenario(scenario, folder)), "-s", dialled,
        "-i", address, "-m", str(call_count), "-l", str(at_once or call_count), "-r", "50", "-d", str(pause_ms),
        "-key", "caller", caller, "-key", "caller_name", caller_name, "-key", "rtp_port", str(rtp_port),
        "-timeout", str(timeout_s), "-timeout_error", "-trace_err", "-nostdin", *options,
        cwd=folder, env={**os.environ, "TERM": "dumb"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield Phone(process, folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
