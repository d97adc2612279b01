"""All services of a node in one supervised task group: none of them dies unseen.

Theory of operation. `add` starts a service and spawns its `run`. A `run` that ends although nobody asked for it is a
fault. A service that was added with `restart=True` keeps nothing that others rely on: it is run again after a pause
that grows, and `missing` names it meanwhile. The fault of any other one ends the node: `failed` returns, and whoever
waits for it leaves the supervisor, which stops everything in the reverse order of its start.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, TypeVar

import structlog

from offhook.domain.errors import OffhookError
from offhook.node.backoff import Backoff
from offhook.node.service import Service

S = TypeVar("S", bound=Service)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0

log = structlog.get_logger()


class EndedUnaskedError(Exception):
    """A service's `run` returned before anybody stopped it."""


class _Entry:
    """A service and its task."""

    def __init__(self, service: Service, *, restart: bool) -> None:
        self.service = service
        self.restart = restart
        self.task: asyncio.Task[None] | None = None
        self.is_up = False
        self.is_stopping = False


class Supervisor:
    """Runs services while it is entered; leaving it stops them."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._group = asyncio.TaskGroup()
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Supervisor:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()
        await self._group.__aexit__(None, None, None)

    async def add(self, service: S, *, restart: bool = False) -> S:
        """Start a service and keep it running. Raises what its `start` raises; leaving the supervisor stops it too."""
        entry = _Entry(service, restart=restart)
        self._entries.append(entry)
        await service.start()
        entry.is_up = True
        entry.task = self._group.create_task(self._live(entry), name=service.name)
        return service

    def missing(self) -> list[str]:
        """The names of those that are not up: still starting, or ended and not yet running again."""
        return [entry.service.name for entry in self._entries if not entry.is_up]

    async def failed(self) -> Exception:
        """Return once a service has ended that the node cannot do without: why it did."""
        return await asyncio.shield(self._failed)

    async def _live(self, entry: _Entry) -> None:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            began = time.monotonic()
            error = await self._run_once(entry)
            if error is None:
                return
            if not entry.restart:
                log.critical("node.service_failed", service=entry.service.name, **_told(error))
                if not self._failed.done():
                    self._failed.set_result(error)
                return
            if time.monotonic() - began > _STEADY_S:
                backoff.reset()
            pause_s = backoff.pause_s()
            log.error("node.service_restarts", service=entry.service.name, pause_s=pause_s, **_told(error))
            await self._pause(entry, pause_s)

    async def _pause(self, entry: _Entry, pause_s: float) -> None:
        try:
            await asyncio.sleep(pause_s)
        except asyncio.CancelledError:
            if entry.is_stopping:
                raise

    async def _run_once(self, entry: _Entry) -> Exception | None:
        """Why it ended; None if it was asked to."""
        entry.is_up = True
        try:
            await entry.service.run()
        except asyncio.CancelledError:
            # The supervisor's own cancelling comes after it has said that it stops.
            if entry.is_stopping:
                raise
        except Exception as error:
            if not entry.is_stopping:
                return error
            log.error("node.service_failed", service=entry.service.name, **_told(error))
        finally:
            entry.is_up = False
        return None if entry.is_stopping else EndedUnaskedError(f"{entry.service.name} ended, and nobody asked it to")

    async def _stop(self) -> None:
        for entry in reversed(self._entries):
            entry.is_stopping = True
            try:
                await entry.service.stop()
            except Exception as error:
                log.error("node.stop_failed", service=entry.service.name, **_told(error))
            if entry.task is not None:
                entry.task.cancel()
                await asyncio.wait([entry.task])
        self._entries.clear()


def _told(error: Exception) -> dict[str, Any]:
    """A refusal says in a sentence what is wrong; anything else needs its traceback."""
    return {"error": error.message} if isinstance(error, OffhookError) else {"exc_info": error}
