"""Forgetting what is old, and finishing what was begun on many rows: all day long and a little at a time.

Theory of operation. Every ten minutes a round goes through what retention does, in the steps of `store.retention` and
`store.forgetting`: each a commit of a few milliseconds, with a pause after it. What a commit leaves over (the pending
deliveries of a deleted customer) is done at once; an erasure that was cut short goes on at the next round or start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from offhook.domain.errors import UnavailableError
from offhook.node.service import Service
from offhook.store.cancelling import finish_cancelling
from offhook.store.erasing import finish_erasures
from offhook.store.forgetting import forget_subjects_step, forget_uris_step
from offhook.store.retention import (
    Cutoffs,
    Rule,
    forget_keys_step,
    keep_places,
    look_again_step,
    prune_step,
    rules_of,
)
from offhook.store.steps import PAUSE_S, in_steps
from offhook.store.store import Store
from offhook.store.transaction import Committed

_ROUND_S = 600.0
# So many steps of a round may look at what is overdue and find nothing to do; the next round goes on from there.
_MAX_IDLE_STEPS = 50
_FIRST_URI = (0, 0)

log = structlog.get_logger()


class Retention(Service):
    """Prunes the log every ten minutes, and finishes what is left over, in steps with a pause between them."""

    def __init__(self, store: Store, keep: timedelta, by_family: Mapping[str, timedelta]) -> None:
        self._store = store
        self._keep = keep
        self._by_family = dict(by_family)
        self._overdue_place = 0
        self._uri_place = _FIRST_URI
        self._left_over = asyncio.Event()
        store.subscribe(self._on_commit)

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "retention"

    async def prune(self) -> int:
        """One round; how many events were forgotten."""
        cutoffs = self._cutoffs()
        rules = rules_of(cutoffs)
        await self._store.write(lambda tx: keep_places(tx, rules))
        count = await self._look_again(cutoffs)
        for rule in rules:
            count += await self._walk(rule)
        await in_steps(self._store, forget_keys_step, True)
        await in_steps(self._store, forget_subjects_step, True)
        await self._forget_uris(max(rule.cutoff_us for rule in rules))
        return count

    async def finish(self) -> None:
        """Finish what others have begun: cancelling, erasing."""
        await finish_cancelling(self._store)
        await finish_erasures(self._store)

    async def run(self) -> None:
        """Finish, prune, and wait, for ever. A stop loses nothing: the step being written is committed all the same."""
        while True:
            await self._work(self.finish, self._prune)
            until_s = asyncio.get_running_loop().time() + _ROUND_S
            while await self._is_asked(until_s):
                await self._work(self.finish)

    async def _is_asked(self, until_s: float) -> bool:
        """Wait for something left over, until then. Whether there is."""
        try:
            async with asyncio.timeout_at(until_s):
                await self._left_over.wait()
        except TimeoutError:
            return False
        self._left_over.clear()
        return True

    async def _work(self, *works: Callable[[], Awaitable[object]]) -> None:
        """Do all of it; a fault in one keeps no other from being done. Raises the first one."""
        faults = [fault for work in works if (fault := await self._fault_of(work)) is not None]
        if faults:
            raise faults[0]

    async def _fault_of(self, work: Callable[[], Awaitable[object]]) -> Exception | None:
        try:
            await work()
        except UnavailableError as error:
            log.warning("retention.postponed", error=error.message)
        except Exception as error:
            return error
        return None

    async def _prune(self) -> None:
        count = await self.prune()
        if count:
            log.info("retention.pruned", event_count=count)

    async def _walk(self, rule: Rule) -> int:
        """All that one rule may forget by now."""
        count, has_more = 0, True
        while has_more:
            step = await self._store.write(lambda tx: prune_step(tx, rule))
            count, has_more = count + step.event_count, step.has_more
            await asyncio.sleep(PAUSE_S)
        return count

    async def _look_again(self, cutoffs: Cutoffs) -> int:
        """Go on among what was pending when its time had come, as long as there is something to forget."""
        count = idle_count = 0
        while idle_count < _MAX_IDLE_STEPS:
            here = self._overdue_place
            step = await self._store.write(lambda tx, here=here: look_again_step(tx, cutoffs, here))  # type: ignore[misc]
            count += step.event_count
            idle_count += not step.event_count
            self._overdue_place = step.place or 0
            await asyncio.sleep(PAUSE_S)
            if step.place is None:
                break
        return count

    async def _forget_uris(self, before_us: int) -> None:
        for _ in range(_MAX_IDLE_STEPS):
            here = self._uri_place
            beyond = await self._store.write(lambda tx, here=here: forget_uris_step(tx, before_us, here))  # type: ignore[misc]
            self._uri_place = beyond or _FIRST_URI
            await asyncio.sleep(PAUSE_S)
            if beyond is None:
                break

    def _on_commit(self, committed: Committed) -> None:
        if committed.has_left_over:
            self._left_over.set()

    def _cutoffs(self) -> Cutoffs:
        now_us = self._store.clock.now_us()
        micro = timedelta(microseconds=1)
        return Cutoffs(
            now_us - self._keep // micro, {family: now_us - keep // micro for family, keep in self._by_family.items()}
        )
