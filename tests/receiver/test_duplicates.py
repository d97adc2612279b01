"""The duplicate filter: asks without marking, forgets by count and by age, may be shared between threads."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.receiver import DuplicateFilter


class Clock:
    """A clock that stands still until told."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_asking_does_not_mark_so_failed_work_is_done_again() -> None:
    duplicates = DuplicateFilter()
    assert not duplicates.seen("evt_1")
    assert not duplicates.seen("evt_1")
    duplicates.mark("evt_1")
    assert duplicates.seen("evt_1")
    assert not duplicates.seen("evt_2")


def test_an_id_is_forgotten_after_its_age() -> None:
    clock = Clock()
    duplicates = DuplicateFilter(max_age=timedelta(seconds=60), clock=clock)
    duplicates.mark("evt_1")
    clock.now_s += 60
    assert duplicates.seen("evt_1")
    clock.now_s += 0.1
    assert not duplicates.seen("evt_1")
    assert len(duplicates) == 0, "its memory is given back"


def test_marking_again_makes_an_id_young() -> None:
    clock = Clock()
    duplicates = DuplicateFilter(max_count=2, max_age=timedelta(seconds=60), clock=clock)
    duplicates.mark("evt_1")
    duplicates.mark("evt_2")
    clock.now_s += 50
    duplicates.mark("evt_1")
    duplicates.mark("evt_3")
    assert [duplicates.seen(f"evt_{number}") for number in (1, 2, 3)] == [True, False, True]
    clock.now_s += 50
    assert duplicates.seen("evt_1")


@given(ids=st.lists(st.text(max_size=3)), max_count=st.integers(1, 5))
def test_memory_is_bounded_and_holds_the_latest(ids: list[str], max_count: int) -> None:
    duplicates = DuplicateFilter(max_count=max_count, clock=Clock())
    for id_ in ids:
        duplicates.mark(id_)
    latest = list(dict.fromkeys(reversed(ids)))
    assert len(duplicates) == min(max_count, len(latest))
    assert all(duplicates.seen(id_) == (place < max_count) for place, id_ in enumerate(latest))


def test_many_threads_may_share_one() -> None:
    duplicates = DuplicateFilter(max_count=500)
    faults: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(2_000):
                duplicates.mark(f"{thread}-{number}")
                duplicates.seen(f"{thread}-{number // 2}")
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults
    assert len(duplicates) == 500


@pytest.mark.parametrize("limits", [{"max_count": 0}, {"max_age": timedelta(0)}])
def test_a_filter_without_room_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive"):
        DuplicateFilter(**limits)
