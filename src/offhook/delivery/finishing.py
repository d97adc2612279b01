"""Long work that a commit has begun and left over: it is finished in steps, now or after the next start."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from offhook.delivery.log import finish_erasure
from offhook.delivery.stepping import PAUSE_S, in_steps
from offhook.domain.errors import UnavailableError
from offhook.node.service import Service
from offhook.store.commit.committed import Committed
from offhook.store.long_work.cancelling import cancel_step, destinations_to_cancel
from offhook.store.long_work.erasing import erasures_begun
from offhook.store.long_work.making_due import destinations_to_make_due, make_due_step
from offhook.store.store import Store

_AGAIN_S = 600.0
_PAUSE_S = 1.0

log = structlog.get_logger()


async def finish_making_due(store: Store) -> None:
    """Send at once what waits for a retry, a step of each marked destination in turn. May be repeated after a crash."""
    left = deque(await store.read(destinations_to_make_due))
    while left:
        marked = left.popleft()
        beyond = await store.write(lambda tx, marked=marked: make_due_step(tx, marked))  # type: ignore[misc]
        if beyond is not None:
            left.append(beyond)
        await asyncio.sleep(PAUSE_S)


async def finish_cancelling(store: Store) -> None:
    """Cancel what is pending of destinations that are gone for good. May be repeated after a crash."""
    for key in await store.read(destinations_to_cancel):
        await in_steps(store, lambda tx, more, key=key: cancel_step(tx, key, more), True)  # type: ignore[misc]


async def finish_erasures(store: Store) -> None:
    """Go on with what was begun and not finished."""
    for erasure in await store.read(erasures_begun):
        await finish_erasure(store, erasure)


_WORKS = (finish_making_due, finish_cancelling, finish_erasures)


class Finisher(Service):
    """Finishes what is left over as soon as a commit says so, and looks every now and then whether anything is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left_over = asyncio.Event()
        store.subscribe(self._on_commit)

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "long work"

    async def run(self) -> None:
        """Finish, and wait for more, for ever. A stop loses nothing: the marks are in the database."""
        while True:
            self._left_over.clear()
            if not await self._finish():
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                async with asyncio.timeout(_AGAIN_S):
                    await self._left_over.wait()
            except TimeoutError:
                pass

    async def _finish(self) -> bool:
        """Whether all is done. A fault in one kind of work keeps no other from being done; raises the first."""
        is_done, faults = True, []
        for finish in _WORKS:
            try:
                await finish(self._store)
            except UnavailableError as error:
                is_done = False
                log.warning("finishing.postponed", error=error.message)
            except Exception as error:
                faults.append(error)
        if faults:
            raise faults[0]
        return is_done

    def _on_commit(self, committed: Committed) -> None:
        if committed.has_left_over or committed.everything:
            self._left_over.set()
