"""A database, an outside, and processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.running.jobs import NOUNS, DoorCommand, Make, ToDoor, to
from tests.running.memory import MemoryDatabase
from tests.running.outside import Outside
from tests.running.process import Process

Begin = Callable[..., Awaitable[Process]]


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase(NOUNS, DoorCommand)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def begin(database: MemoryDatabase, outside: Outside) -> AsyncIterator[Begin]:
    """Starts a process on the database; with the jobs `a` and `b`, if it is the first."""
    begun: list[Process] = []

    async def start(**how: Any) -> Process:
        process = Process(database, outside, ToDoor, **how)
        begun.append(process)
        await process.start()
        if len(begun) == 1:
            await process.tell(to("a", Make()), to("b", Make()))
        return process

    yield start
    for process in begun:
        await process.kill()
