"""A destination's health over simulated days."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.health import CLEAN, Failure, Health, resumed

SECOND = 1_000_000
DAY = 86_400 * SECOND
FIVE_DAYS = 5 * DAY


def failing(count: int, now_us: int = DAY) -> Health:
    health = CLEAN
    for _ in range(count):
        health = health.failed(now_us, now_us)
    return health


def test_nine_failures_in_a_row_change_nothing_and_the_tenth_probes_a_second_later() -> None:
    assert not failing(9).is_probing
    health = failing(10)
    assert health.is_probing
    assert health.next_probe_us == DAY + SECOND


def test_probe_gaps_double_from_a_second_to_a_minute() -> None:
    health = failing(10)
    now_us = DAY
    gaps = [health.gap_us // SECOND]
    for _ in range(8):
        now_us = health.next_probe_us
        health = health.failed(now_us, now_us + 5 * SECOND)
        gaps.append(health.gap_us // SECOND)
        assert health.next_probe_us == now_us + 5 * SECOND + health.gap_us
    assert gaps == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(st.lists(st.integers(0, 5 * SECOND), max_size=31))
def test_attempts_under_way_when_probing_began_change_no_gap(late_by: list[int]) -> None:
    health = before = failing(10)
    for late_us in sorted(late_by):
        health = health.failed(DAY - SECOND, DAY + late_us)
    assert (health.gap_us, health.next_probe_us) == (before.gap_us, before.next_probe_us)
    assert health.is_probing


def test_five_days_without_a_success_count_from_the_first_failure() -> None:
    health = failing(3, DAY)
    assert not health.has_failed_for(DAY + FIVE_DAYS - 1, FIVE_DAYS)
    assert health.has_failed_for(DAY + FIVE_DAYS, FIVE_DAYS)
    assert not CLEAN.has_failed_for(100 * FIVE_DAYS, FIVE_DAYS)


@given(st.lists(st.integers(1, DAY), min_size=1, max_size=200))
def test_the_run_of_failures_keeps_its_beginning(waits: list[int]) -> None:
    health, now_us = CLEAN, DAY
    began_us = now_us + waits[0]
    for wait in waits:
        now_us += wait
        health = health.failed(now_us, now_us)
    assert health.failing_since_us == began_us
    assert health.failure_count == len(waits)


def test_after_a_restart_a_run_of_failures_that_was_not_probed_is_no_reason_to_probe() -> None:
    health = resumed(DAY, None, is_probed=False)
    assert not health.is_probing
    assert health.failing_since_us == DAY


def test_after_a_restart_a_failing_one_is_probed_at_once_and_a_healthy_one_is_not() -> None:
    assert resumed(None, None, is_probed=False) == CLEAN
    health = resumed(DAY, Failure("refused"), is_probed=True)
    assert health.failure == Failure("refused")
    assert health.is_probing
    assert health.next_probe_us <= DAY
    assert health.has_failed_for(DAY + FIVE_DAYS, FIVE_DAYS)
    now_us = 2 * DAY
    assert health.failed(now_us, now_us).next_probe_us == now_us + SECOND
