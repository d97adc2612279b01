"""Long work on the log, one small commit after another: between two steps everybody else's changes are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from offhook.store.commit.transaction import Transaction
from offhook.store.store import Store

P = TypeVar("P")

PAUSE_S = 0.01


async def in_steps(store: Store, step: Callable[[Transaction, P], P | None], place: P | None) -> None:
    """Run `step` from `place` on until it returns None, each time from the place that it returned before."""
    while place is not None:
        here = place
        place = await store.write(lambda tx, here=here: step(tx, here))  # type: ignore[misc]
        await asyncio.sleep(PAUSE_S)
