"""Which events are old enough to be forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.events.retention import cutoffs_at, rules_of

DAY_US = 86_400 * 1_000_000
NOW_US = 1_000 * DAY_US
CUTOFFS = cutoffs_at(NOW_US, timedelta(days=30), {"message": timedelta(days=1), "call": timedelta(days=400)})


@pytest.mark.parametrize(
    ("event_type", "days"), [("message_created", 1), ("call_hungup", 400), ("callback_due", 30), ("paid", 30)]
)
def test_a_family_is_kept_for_its_own_time(event_type: str, days: int) -> None:
    assert CUTOFFS.of(event_type) == NOW_US - days * DAY_US


@given(event_type=st.sampled_from(["call", "call_created", "message_x", "paid", "queue_updated", "callcenter_x"]))
def test_every_event_has_one_rule_and_that_forgets_it_at_its_time(event_type: str) -> None:
    (rule,) = [rule for rule in rules_of(CUTOFFS) if rule.is_about(event_type)]
    assert rule.cutoff_us == CUTOFFS.of(event_type)


def test_a_walk_goes_on_until_another_family_gets_a_time_of_its_own() -> None:
    later = cutoffs_at(NOW_US + DAY_US, timedelta(days=5), {"call": timedelta(days=2), "message": timedelta(days=9)})
    assert [rule.name for rule in rules_of(later)] == [rule.name for rule in rules_of(CUTOFFS)]
    fewer = cutoffs_at(NOW_US, timedelta(days=30), {"call": timedelta(days=400)})
    assert rules_of(fewer)[0].name != rules_of(CUTOFFS)[0].name
