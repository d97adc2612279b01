"""One process, known by its id and by when it began, whether or not it is our child."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import msgspec


class ProcessId(msgspec.Struct, frozen=True):
    """A process id alone may be given to another program later; with the time of its start it is unique."""

    pid: int
    began: int

    @staticmethod
    def of(pid: int) -> ProcessId | None:
        """The process that has this id now, if any (proc(5): field 22 of stat is the start, in clock ticks)."""
        fields = _stat(pid)
        is_gone = not fields or fields[0] == "Z"
        return None if is_gone else ProcessId(pid, int(fields[19]))

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self

    @property
    def command_line(self) -> list[str]:
        """Its arguments; none if it is gone."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            return []

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self) -> None:
        """Return once it does not run any more."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Its first thread may be a zombie while others still hold its sockets, so being alive is not the question.
            fields = _stat(self.pid)
            if fields and int(fields[19]) == self.began:
                await _readable(descriptor)
        finally:
            os.close(descriptor)

    async def end(self, patience_s: float) -> None:
        """Ask it to end; kill it if it does not in time."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience_s):
                await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the state on; none if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
