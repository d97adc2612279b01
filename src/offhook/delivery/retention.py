"""Forgetting what is old, all day long and a little at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from offhook.domain.errors import UnavailableError
from offhook.node.service import Service
from offhook.store.retention import Cutoffs, Pruned, prune_idempotency_keys, prune_step
from offhook.store.store import Store

_ROUND_S = 600.0
_BREATH_S = 0.02

log = structlog.get_logger()


class Retention(Service):
    """Prunes the log every ten minutes, in steps with a pause between them."""

    def __init__(self, store: Store, keep: timedelta, by_family: Mapping[str, timedelta]) -> None:
        self._store = store
        self._keep = keep
        self._by_family = dict(by_family)

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "retention"

    async def prune(self) -> int:
        """One round; how many events were forgotten."""
        cutoffs = self._cutoffs()
        step = Pruned(0, 0)
        count = 0
        while step.next_key is not None:
            after = step.next_key
            step = await self._store.write(lambda tx, after=after: prune_step(tx, cutoffs, after_key=after))  # type: ignore[misc]
            count += step.event_count
            await asyncio.sleep(_BREATH_S)
        await self._store.write(prune_idempotency_keys)
        return count

    async def run(self) -> None:
        """Prune, and wait, for ever. A stop loses nothing: the step that is being written is committed all the same."""
        while True:
            try:
                count = await self.prune()
                if count:
                    log.info("retention.pruned", event_count=count)
            except UnavailableError as error:
                log.warning("retention.postponed", error=error.message)
            await asyncio.sleep(_ROUND_S)

    def _cutoffs(self) -> Cutoffs:
        now_us = self._store.clock.now_us()
        micro = timedelta(microseconds=1)
        return Cutoffs(
            now_us - self._keep // micro, {family: now_us - keep // micro for family, keep in self._by_family.items()}
        )
