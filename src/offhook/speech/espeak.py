"""Speaks by espeak-ng, in processes that live as long as they are of use (`process`).

Theory of operation. A process is started when one is wanted and none is free, and kept for the next text: to start one
takes longer than to speak. At most two are at work. One that does not answer in time, or dies, is killed with all that
it started. Whose process died is spoken once more by another one, but not what took too long. When the server dies,
however it does, they see the end of their orders and go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from datetime import timedelta
from pathlib import Path

import msgspec
import structlog

from offhook.speech.installation import is_installed, version_of
from offhook.speech.orders import Answer, Order
from offhook.speech.port import BROKEN, NOT_INSTALLED, Failed, Made, Wanted

MAX_PROCESSES = 2
TIME_LIMIT = timedelta(seconds=15)
"""For one text, with the start of a process. The longest take 2 s."""
MAX_TEXTS = 2_000
"""So many by one process: whatever it may have kept of them goes with it."""

# All that a speech process has of the server's surroundings: no secret of the operator's is among it.
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
# One version of how the sound is made of a text; part of `version`.
_MAKING = "1"

log = structlog.get_logger()


class Espeak:
    """An espeak-ng unpacked at `root`, which need not be there."""

    def __init__(self, root: Path, *, time_limit: timedelta = TIME_LIMIT, max_texts: int = MAX_TEXTS) -> None:
        self._root = root
        self._time_limit_s = time_limit.total_seconds()
        self._max_texts = max_texts
        self._places = asyncio.Semaphore(MAX_PROCESSES)
        self._free: list[_Speaking] = []
        self._all: set[_Speaking] = set()

    @property
    def version(self) -> str:
        """Of the engine, and of what is made of its sound."""
        return f"{version_of(self._root)}/{_MAKING}"

    @property
    def process_ids(self) -> list[int]:
        """The processes that are there."""
        return [one.process.pid for one in self._all]

    async def speak(self, wanted: Wanted, path: Path) -> Made | Failed:
        """Write the sound to `path`; looked at each time is whether there is an espeak-ng."""
        if not is_installed(self._root):
            return Failed(NOT_INSTALLED)
        order = Order(wanted.text, wanted.language, wanted.voice, str(path))
        async with self._places:
            answer = await self._answered(order) or await self._answered(order)
        failed = BROKEN if answer is None else answer.failed
        return Failed(failed) if failed else Made(path)

    async def close(self) -> None:
        """End every process."""
        for one in list(self._all):
            await self._end(one)

    async def _answered(self, order: Order) -> Answer | None:
        """What a process made of it; None if it died of it, or of something else."""
        one: _Speaking | None = None
        try:
            async with asyncio.timeout(self._time_limit_s):
                one = await self._take()
                answer = await one.ask(order)
        except TimeoutError:
            await self._lose(one, "it took too long")
            return Answer(BROKEN)
        except (OSError, EOFError) as error:
            await self._lose(one, type(error).__name__)
            return None
        except BaseException:
            await self._lose(one, "")
            raise
        if one.text_count < self._max_texts:
            self._free.append(one)
        else:
            await self._end(one)
        return answer

    async def _take(self) -> _Speaking:
        while self._free:
            one = self._free.pop()
            if one.process.returncode is None:
                return one
            self._all.discard(one)
        return await self._start()

    async def _lose(self, one: _Speaking | None, reason: str) -> None:
        if reason:
            log.warning("speech.process_lost", reason=reason)
        if one is not None:
            await self._end(one)

    async def _start(self) -> _Speaking:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "offhook.speech.process", str(self._root)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        one = _Speaking(process)
        self._all.add(one)
        return one

    async def _end(self, one: _Speaking) -> None:
        self._all.discard(one)
        with contextlib.suppress(ValueError):
            self._free.remove(one)
        # One that is gone has no number any more, and what it started has nobody left to write to.
        if one.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGKILL)
        await one.process.wait()


class _Speaking:
    """A process that is there. It is asked for one text at a time."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.text_count = 0

    async def ask(self, order: Order) -> Answer:
        """Have it speak. Raises OSError or EOFError if it is gone."""
        self.text_count += 1
        orders, answers = self.process.stdin, self.process.stdout
        assert orders is not None
        assert answers is not None
        orders.write(msgspec.json.encode(order) + b"\n")
        await orders.drain()
        line = await answers.readline()
        if not line:
            raise EOFError
        return msgspec.json.decode(line, type=Answer)
