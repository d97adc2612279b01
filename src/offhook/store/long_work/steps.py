"""Long work on many rows, cut into small commits with room for others between them.

A *step* is one commit: it takes *batches* of a few hundred rows until it has worked for `STEP_S`, so that it takes
about as long on a slow disk as on a fast one. Whoever does the work (`delivery`) lets others commit between two steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import sqlalchemy as sa

from offhook.store.commit.transaction import Transaction

P = TypeVar("P")
Q = TypeVar("Q", int, tuple[int, int])

STEP_S = 0.005
BATCH = 100
"""Rows (pages, where rows are long) that a batch takes at most."""
_PAGE_BYTES = 4_096
ATTEMPT_BYTES = 1_024
"""What an attempt counts for: most answers are short."""


def in_batches(batch: Callable[[P], P | None], place: P) -> P | None:
    """One step: take batches from `place` on until it is enough; the place to go on from, None at the end."""
    end_s = time.monotonic() + STEP_S
    left: P | None = place
    while left is not None:
        left = batch(left)
        if time.monotonic() >= end_s:
            break
    return left


def count_in_batches(batch: Callable[[Q], tuple[int, Q | None]], place: Q) -> tuple[int, Q | None]:
    """As `in_batches`, for batches that also tell how many they dealt with: their sum, and the place to go on from."""
    count = 0

    def counted(here: Q) -> Q | None:
        nonlocal count
        some, beyond = batch(here)
        count += some
        return beyond

    beyond = in_batches(counted, place)
    return count, beyond


def fitting_count(sizes: Iterable[int]) -> int:
    """How many of the rows with these sizes in bytes one batch may take: at least one."""
    weight = count = 0
    for size in sizes:
        weight += 1 + size // _PAGE_BYTES
        if count and weight > BATCH:
            break
        count += 1
    return count


def run_for_each(tx: Transaction, statement: Any, keys: Iterable[int]) -> None:
    """Run `statement` for each of `keys`, its parameter `of`: with all of them in one list it would cost far more."""
    rows = [{"of": key} for key in keys]
    if rows:
        tx.connection.execute(statement, rows)


OF = sa.bindparam("of", type_=sa.BigInteger)
"""The key that `run_for_each` runs a statement for."""
