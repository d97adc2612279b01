"""Forgetting what is old, and finishing what was begun on many rows: all day long and a little at a time.

Theory of operation. Every ten minutes a round goes through what retention does, in the steps of `store.retention` and
`store.forgetting`: each a commit of a few milliseconds, with a pause after it. What a commit leaves over (the pending
deliveries of a deleted customer) is done at once; an erasure that was cut short goes on at the next round or start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from offhook.delivery.stepping import PAUSE_S, in_steps
from offhook.domain.delivery.counts import forgotten_before_us, rolled_up_before_us
from offhook.domain.errors import UnavailableError
from offhook.domain.events.retention import Cutoffs, Rule, cutoffs_at, rules_of
from offhook.node.service import Service
from offhook.store.long_work.forgetting import forget_subjects_step, forget_uris_step
from offhook.store.long_work.own_webhooks import tidy_own_webhooks_step
from offhook.store.long_work.retention import (
    forget_keys_step,
    keep_places,
    look_again_step,
    prune_step,
)
from offhook.store.long_work.rolling_up import forget_hours_step, roll_up_step
from offhook.store.store import Store

_ROUND_S = 600.0
# So many steps of a round may look at what is overdue and find nothing to do; the next round goes on from there.
_MAX_IDLE_STEPS = 50
_FIRST_URI = (0, 0)

log = structlog.get_logger()


class Retention(Service):
    """Prunes the log every ten minutes, in steps with a pause between them."""

    def __init__(
        self,
        store: Store,
        keep: timedelta,
        by_family: Mapping[str, timedelta],
        disable_after: timedelta = timedelta(days=5),
    ) -> None:
        self._store = store
        self._disable_after_us = disable_after // timedelta(microseconds=1)
        self._keep = keep
        self._by_family = dict(by_family)
        self._overdue_place = 0
        self._uri_place = _FIRST_URI

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
        await self._tidy_own_webhooks()
        await self._roll_up()
        return count

    async def run(self) -> None:
        """Prune, and wait, for ever. A stop loses nothing: the step being written is committed all the same."""
        while True:
            try:
                await self._prune()
            except UnavailableError as error:
                log.warning("retention.postponed", error=error.message)
            await asyncio.sleep(_ROUND_S)

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

    async def _tidy_own_webhooks(self) -> None:
        """What is held of executions that are over is held as long as it takes to disable a webhook."""
        before_us = self._store.clock.now_us() - self._disable_after_us
        await in_steps(self._store, lambda tx, key: tidy_own_webhooks_step(tx, before_us, key), -1)

    async def _roll_up(self) -> None:
        """Counts of minutes become those of hours, and these are forgotten."""
        now_us = self._store.clock.now_us()
        await in_steps(self._store, roll_up_step, rolled_up_before_us(now_us))
        await in_steps(self._store, forget_hours_step, forgotten_before_us(now_us))

    def _cutoffs(self) -> Cutoffs:
        return cutoffs_at(self._store.clock.now_us(), self._keep, self._by_family)
