"""What was counted, and what it says."""

from __future__ import annotations

import pytest

from offhook.domain.delivery.counts import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    Counts,
    forgotten_before_us,
    rolled_up_before_us,
    window_start_us,
)

# In the middle of a minute.
NOW = 1_777_712_400_000_000 + 17 * MINUTE_US + 31_000_000


def counted() -> Counts:
    counts = Counts(created=6, exhausted=1, cancelled=2)
    counts.succeeded(1, 100_000)
    counts.succeeded(1, 100_000)
    counts.succeeded(2, 60_000_000)
    counts.failed(("refused", None))
    counts.failed(("client_error", 404))
    counts.failed(("client_error", 404))
    return counts


def test_first_tries_and_later_ones_are_told_apart() -> None:
    counts = counted()
    assert (counts.first_count, counts.later_count, counts.succeeded_count) == (2, 1, 3)
    assert counts.failures == {("refused", None): 1, ("client_error", 404): 2}
    assert counts.first_try_latency_ms(0.99) == pytest.approx(100, rel=0.15)
    assert counts.latency_ms(0.5) == pytest.approx(100, rel=0.15)
    assert counts.latency_ms(0.99) == pytest.approx(60_000, rel=0.15)


def test_a_failed_attempt_counts_whether_or_not_its_delivery_is_given_up() -> None:
    assert counted().success_rate == 0.5
    assert Counts(failures={("refused", None): 12}).success_rate == 0
    assert Counts(created=3).success_rate is None


def test_a_sum_counts_what_both_counted_and_leaves_the_other_alone() -> None:
    more, total = counted(), counted()
    total.add(more)
    assert (total.created, total.exhausted, total.cancelled) == (12, 2, 4)
    assert (total.first_count, total.later_count, total.failed_count) == (4, 2, 6)
    assert more == counted()


@pytest.mark.parametrize(
    ("seconds", "unit_us"), [(1, MINUTE_US), (3_600, MINUTE_US), (8 * 86_400, MINUTE_US), (8 * 86_400 + 1, HOUR_US)]
)
def test_a_time_is_rounded_up_to_minutes_and_beyond_eight_days_to_hours(seconds: int, unit_us: int) -> None:
    start_us = window_start_us(NOW, seconds)
    assert start_us % unit_us == 0
    assert 0 <= NOW - start_us - seconds * 1_000_000 < unit_us


@pytest.mark.parametrize("shift_us", [0, 29 * MINUTE_US, 59 * MINUTE_US])
def test_whatever_may_be_asked_for_is_kept_as_finely_as_it_is_told(shift_us: int) -> None:
    now_us = NOW + shift_us
    assert rolled_up_before_us(now_us) <= window_start_us(now_us, 8 * 86_400)
    assert rolled_up_before_us(now_us) > now_us - 8 * DAY_US - HOUR_US
    assert forgotten_before_us(now_us) <= window_start_us(now_us, 35 * 86_400)
