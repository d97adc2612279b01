"""From the start of a node to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from offhook.domain.errors import OffhookError
from offhook.node.supervisor import Supervisor


class Stopping(Protocol):
    """Whoever may ask the node to stop."""

    async def wait(self) -> None:
        """Until somebody asks."""
        ...


async def run_until_stopped(supervisor: Supervisor, start: Coroutine[Any, Any, None], stopping: Stopping) -> bool:
    """Run `start`, which adds the services, then live until the end. Whether somebody asked for it.

    A start that is not over when the end comes is cut short. Raises what `start` raises, and the refusal with which a
    service ended that the node cannot do without.
    """
    starting = asyncio.ensure_future(start)
    asked = asyncio.ensure_future(stopping.wait())
    failed = asyncio.ensure_future(supervisor.failed())
    try:
        await asyncio.wait((starting, asked, failed), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await asyncio.wait((asked, failed), return_when=asyncio.FIRST_COMPLETED)
        if failed.done() and isinstance(error := failed.result(), OffhookError):
            raise error
        return not failed.done()
    finally:
        for task in (starting, asked, failed):
            task.cancel()
        await asyncio.gather(starting, asked, failed, return_exceptions=True)
