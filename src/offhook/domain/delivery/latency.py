"""Steps of latency: how a thousand latencies are kept in a few counters, and what can still be said of them.

Each step is 1.31 times as long as the one before, and stands for the geometric middle of its bounds: so whatever is
told of a step (a median, say) is within 15 % of the truth. Such steps span a factor of 650 in 24; from one millisecond
to more than two and a half days, the longest that the retry schedule of the contract takes, it needs three times 24.
Of these a minute has few: only steps that something fell into are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from math import sqrt

STEP_COUNT = 72
_RATIO = 1.31
_FIRST_MS = 1.0

BOUNDS_MS = tuple(_FIRST_MS * _RATIO**number for number in range(STEP_COUNT))
"""Where each step but the first begins: step 0 ends at 1 ms, and the last one has no end."""
_BOUNDS_US = [bound * 1_000 for bound in BOUNDS_MS]


def step_of(latency_us: int) -> int:
    """The number of the step that a latency falls into, 0 to 72."""
    return bisect_right(_BOUNDS_US, latency_us)


def middle_ms(step: int) -> float:
    """What a step stands for, in milliseconds and three digits: within 15 % of everything in it.

    Of the first step (less than 1 ms) and the last (more than three days) that cannot be said.
    """
    bound = BOUNDS_MS[step - 1] if step else _FIRST_MS / _RATIO
    return float(f"{bound * sqrt(_RATIO):.3g}")


def share_ms(counts: Mapping[int, int], share: float) -> float | None:
    """The latency that this share of all were below, or had; None of nothing. `counts` are by step."""
    total = sum(counts.values())
    if not total:
        return None
    place = min(total - 1, int(share * total))
    steps = sorted(counts)
    sums = list(accumulate(counts[step] for step in steps))
    return middle_ms(steps[bisect_right(sums, place)])
