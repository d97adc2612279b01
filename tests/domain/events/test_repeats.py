"""A request that is made again is answered as before; what stands for something else is refused."""

from __future__ import annotations

import pytest

from offhook.domain.errors import ConflictError
from offhook.domain.events.event import NewEvent
from offhook.domain.events.publication import Publication
from offhook.domain.events.repeats import answer_again, check_repeated_events, kept_answer

NOW_US = 1_777_712_400_000_000
DAY_US = 24 * 3_600 * 1_000_000
KEPT = kept_answer(b"digest", ["evt_1"], NOW_US)


def test_the_same_body_gets_the_same_ids_for_a_day() -> None:
    assert answer_again(KEPT, b"digest", NOW_US) == ["evt_1"]
    assert answer_again(KEPT, b"digest", NOW_US + DAY_US - 1) == ["evt_1"]


def test_after_a_day_a_key_may_be_used_for_anything() -> None:
    for digest in (b"digest", b"other"):
        assert answer_again(KEPT, digest, NOW_US + DAY_US) is None


def test_a_key_that_nobody_used_is_a_new_request() -> None:
    assert answer_again(None, b"digest", NOW_US) is None


def test_a_key_stands_for_one_body() -> None:
    with pytest.raises(ConflictError) as refused:
        answer_again(KEPT, b"other", NOW_US + DAY_US - 1)
    assert (refused.value.reason, refused.value.field) == ("IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")


PRESENT = {"mine": NewEvent("customer", "paid", "order/1", b"{}", "mine")}


def test_an_event_that_is_there_may_be_published_again() -> None:
    check_repeated_events([Publication("paid", "order/1", "mine", b"{}"), Publication("other", "", "", b"1")], PRESENT)


@pytest.mark.parametrize(
    "other",
    [
        Publication("sold", "order/1", "mine", b"{}"),
        Publication("paid", "order/2", "mine", b"{}"),
        Publication("paid", "order/1", "mine", b"[]"),
    ],
)
def test_an_id_stands_for_one_event(other: Publication) -> None:
    with pytest.raises(ConflictError) as alone:
        check_repeated_events([other], PRESENT)
    assert (alone.value.reason, alone.value.field, alone.value.index) == ("EVENT_ID_REUSED", "id", None)
    with pytest.raises(ConflictError) as in_a_batch:
        check_repeated_events([Publication("new", "", "", b"{}"), other], PRESENT)
    assert in_a_batch.value.index == 1
