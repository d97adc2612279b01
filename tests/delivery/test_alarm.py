"""When a failing destination is worth a warning."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from offhook.delivery.alarm import Alarm

MINUTE_US = 60_000_000


def test_a_run_of_failures_is_said_once_and_its_end_once() -> None:
    alarm = Alarm()
    assert [alarm.failed(now_us) for now_us in (0, 1, 2 * MINUTE_US)] == [True, False, False]
    assert [alarm.succeeded() for _ in range(2)] == [True, False]


def test_one_that_begins_soon_after_another_is_said_once_a_minute_has_passed() -> None:
    alarm = Alarm()
    assert alarm.failed(0)
    assert alarm.succeeded()
    assert not alarm.failed(MINUTE_US - 1)
    assert alarm.failed(MINUTE_US)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000_000))))
def test_however_often_it_changes_its_mind_a_minute_has_one_of_each(story: list[tuple[bool, int]]) -> None:
    alarm = Alarm()
    now_us, said = 0, []
    for is_success, gap_us in story:
        now_us += gap_us
        if alarm.succeeded() if is_success else alarm.failed(now_us):
            said.append((is_success, now_us))
    # Turn by turn, beginning with a failure; and a minute between two that began.
    assert [is_success for is_success, _ in said] == [number % 2 == 1 for number in range(len(said))]
    began = [at_us for is_success, at_us in said if not is_success]
    assert all(later - earlier >= MINUTE_US for earlier, later in pairwise(began))
