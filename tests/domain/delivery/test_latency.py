"""What is kept of many latencies in a few counters, and how near to the truth it is."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.latency import BOUNDS_MS, STEP_COUNT, middle_ms, share_ms, step_of
from offhook.domain.delivery.retry import RetryPolicy

MILLISECOND = 1_000
THREE_DAYS = 3 * 86_400 * 1_000_000


@given(st.integers(MILLISECOND, THREE_DAYS))
def test_what_is_told_of_a_latency_is_within_fifteen_percent(latency_us: int) -> None:
    assert abs(middle_ms(step_of(latency_us)) * 1_000 / latency_us - 1) <= 0.15


@given(st.lists(st.integers(MILLISECOND, THREE_DAYS), min_size=1), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_share_is_within_fifteen_percent_of_the_true_one(latencies_us: list[int], share: float) -> None:
    true_us = sorted(latencies_us)[min(len(latencies_us) - 1, int(share * len(latencies_us)))]
    told_ms = share_ms(Counter(map(step_of, latencies_us)), share)
    assert told_ms is not None
    assert abs(told_ms * 1_000 / true_us - 1) <= 0.15


def test_the_whole_retry_schedule_with_all_its_jitter_is_within_the_steps() -> None:
    longest = sum(RetryPolicy().schedule, timedelta()) * 1.2
    assert longest < timedelta(milliseconds=BOUNDS_MS[-1] * 1.31)
    assert (step_of(0), step_of(999), step_of(1_000), step_of(2**60)) == (0, 0, 1, STEP_COUNT)


def test_of_nothing_nothing_is_told() -> None:
    assert share_ms({}, 0.5) is None


@pytest.mark.parametrize("step", range(STEP_COUNT + 1))
def test_no_more_digits_are_told_than_are_known(step: int) -> None:
    assert len(f"{middle_ms(step):.10g}".replace(".", "").strip("0")) <= 3
