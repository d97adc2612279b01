"""The retry schedule: when, how often, and what a receiver may ask for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.retry import DEFAULT_SCHEDULE, RetryPolicy

LUCK = st.floats(0, 1, exclude_max=True)
CONTRACT = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000, 86_400]


def test_the_default_schedule_is_the_contract_s() -> None:
    assert [gap.total_seconds() for gap in DEFAULT_SCHEDULE] == CONTRACT


@given(st.integers(1, 11), LUCK)
def test_each_gap_stays_within_a_fifth(attempt_count: int, luck: float) -> None:
    delay = RetryPolicy().delay("call", attempt_count, retry_after=None, luck=luck)
    assert delay is not None
    gap_s = CONTRACT[attempt_count - 1]
    assert 0.8 * gap_s <= delay.total_seconds() <= 1.2 * gap_s


def test_luck_reaches_both_ends() -> None:
    first = RetryPolicy().delay("call", 1, retry_after=None, luck=0.0)
    last = RetryPolicy().delay("call", 1, retry_after=None, luck=0.999999)
    assert first == timedelta(milliseconds=800)
    assert last is not None
    assert last > timedelta(milliseconds=1_199)


@given(LUCK, st.none() | st.timedeltas(timedelta(), timedelta(hours=1)))
def test_it_is_given_up_after_the_twelfth_attempt_about_two_days_later(
    luck: float, retry_after: timedelta | None
) -> None:
    policy = RetryPolicy()
    waited = timedelta()
    attempt_count = 1
    while (delay := policy.delay("call", attempt_count, retry_after=retry_after, luck=luck)) is not None:
        assert delay > timedelta()
        waited += delay
        attempt_count += 1
    assert attempt_count == 12
    assert timedelta(hours=41) < waited < timedelta(hours=70)


@given(st.integers(1, 11), LUCK, st.timedeltas(timedelta(), timedelta(hours=1)))
def test_retry_after_lengthens_and_never_shortens(attempt_count: int, luck: float, retry_after: timedelta) -> None:
    policy = RetryPolicy()
    plain = policy.delay("call", attempt_count, retry_after=None, luck=luck)
    asked = policy.delay("call", attempt_count, retry_after=retry_after, luck=luck)
    assert plain is not None
    assert asked == max(plain, retry_after)


@pytest.mark.parametrize(("family", "attempt_count", "delay_s"), [("call", 1, 1), ("message", 1, 7), ("message", 2, 9)])
def test_a_family_may_have_a_schedule_of_its_own(family: str, attempt_count: int, delay_s: int) -> None:
    policy = RetryPolicy(jitter=0.0, by_family={"message": (timedelta(seconds=7), timedelta(seconds=9))})
    assert policy.delay(family, attempt_count, retry_after=None, luck=0.5) == timedelta(seconds=delay_s)
    assert policy.delay("message", 3, retry_after=timedelta(hours=1), luck=0.5) is None


def test_an_empty_schedule_tries_once() -> None:
    assert RetryPolicy(schedule=()).delay("call", 1, retry_after=None, luck=0.5) is None
