"""Services under a supervisor, for a test that starts and stops them itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TypeVar

from offhook.node.service import Service
from offhook.node.supervisor import Supervisor

S = TypeVar("S", bound=Service)


class Running:
    """A supervisor that is entered by `add` and left by `stop`."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._supervisor: Supervisor | None = None

    async def add(self, service: S) -> S:
        """Start a service and keep it running."""
        if self._supervisor is None:
            self._supervisor = await self._stack.enter_async_context(Supervisor())
        return await self._supervisor.add(service)

    async def abandon(self, service: Service) -> None:
        """What kill -9 does to one service: it does nothing any more, and was told nothing."""
        assert self._supervisor is not None
        entry = next(entry for entry in self._supervisor._entries if entry.service is service)
        self._supervisor._entries.remove(entry)
        assert entry.task is not None
        entry.task.cancel()
        await asyncio.wait([entry.task])

    async def stop(self) -> None:
        """Stop them all, in the reverse order."""
        await self._stack.aclose()
        self._supervisor = None
