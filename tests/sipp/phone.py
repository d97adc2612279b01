"""Running SIPp as a phone that calls or is called, from the machine's packages or from those unpacked for the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from offhook.switch.asterisk.installation import command
from tests.ports import free_port
from tests.sipp.scenarios import write_scenario
from tests.sipp.switches import eventually

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

    async def done(self, timeout_s: float = 90) -> None:
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
    timeout_s: int = 80,
    options: Sequence[str] = (),
    rtp_port: int = 16_000,
    address: str = "127.0.0.1",
) -> AsyncIterator[Phone]:
    """Call `dialled` at `switch` (HOST:PORT) from `address`, as the scenario says, `at_once` calls at a time (or all).

    `options` are more of SIPp's. It is gone at the end.
    """
    arguments = (
        *(switch, "-s", dialled, "-i", address, "-p", str(free_port()), "-l", str(at_once or call_count), "-r", "50"),
        *("-key", "caller", caller, "-key", "caller_name", caller_name, "-key", "rtp_port", str(rtp_port)),
        *options,
    )
    async with _sipp(scenario, folder, arguments, pause_ms, call_count, timeout_s) as found:
        yield found


@contextlib.asynccontextmanager
async def called_phone(scenario: str, folder: Path, *, pause_ms: int = 300) -> AsyncIterator[tuple[Phone, str]]:
    """One that is called, once, and where (HOST:PORT). It is gone at the end."""
    port = free_port()
    async with _sipp(scenario, folder, ("-i", "127.0.0.1", "-p", str(port)), pause_ms, 1, 80) as found:
        await eventually(lambda: not _is_free(port), "the phone is there")
        yield found, f"127.0.0.1:{port}"


def _is_free(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.asynccontextmanager
async def _sipp(
    scenario: str, folder: Path, arguments: Sequence[str], pause_ms: int, call_count: int, timeout_s: int
) -> AsyncIterator[Phone]:
    folder.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *sipp_command(), *arguments, "-sf", str(write_scenario(scenario, folder)),
        "-m", str(call_count), "-d", str(pause_ms),
        "-timeout", str(timeout_s), "-timeout_error", "-trace_err", "-nostdin",
        cwd=folder, env={**os.environ, "TERM": "dumb"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield Phone(process, folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
