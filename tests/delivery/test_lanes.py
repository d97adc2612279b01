"""The order of one destination's deliveries: examples, and a state machine against a model of the database."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from offhook.delivery.lane import place_of
from offhook.delivery.lanes import Lanes
from offhook.delivery.memory import Held, MemoryLimits
from offhook.domain.delivery.delivery import Delivery

SECOND = 1_000_000
HOLD = 30 * SECOND


def delivery(key: int, subject: str = "call/1", sequence: int | None = None, due_us: int = 0) -> Delivery:
    return Delivery(
        key=key,
        destination_key=1,
        event_id=f"evt_{key}",
        subject=subject,
        sequence=sequence or key,
        position=key,
        payload=b"x" * 10,
        family="call",
        created_us=due_us,
        due_us=due_us,
    )


def lanes_of(limit: int = 100, hold_us: int = HOLD) -> Lanes:
    return Lanes(hold_us, MemoryLimits(lane=limit), Held())


def fail(lanes: Lanes, one: Delivery, now_us: int, retry_us: int) -> None:
    one.attempt_count += 1
    if one.first_failed_us is None:
        one.first_failed_us = now_us
    one.due_us = retry_us
    lanes.park(one, now_us)
    lanes.note_written(one.key, one.attempt_count)


def test_one_subject_goes_one_at_a_time_and_in_order() -> None:
    lanes = lanes_of()
    for key in (1, 2, 3):
        lanes.add(delivery(key), 0)
    first = lanes.take()
    assert first is not None
    assert first.key == 1
    assert lanes.take() is None
    lanes.settle(first)
    second = lanes.take()
    assert second is not None
    assert second.key == 2


def test_later_ones_wait_for_a_retry_and_other_subjects_do_not() -> None:
    lanes = lanes_of()
    for key, subject in ((1, "a"), (2, "a"), (3, "b")):
        lanes.add(delivery(key, subject), 0)
    first = lanes.take()
    assert first is not None
    fail(lanes, first, SECOND, 2 * SECOND)
    other = lanes.take()
    assert other is not None
    assert other.key == 3
    assert lanes.take() is None
    lanes.advance(2 * SECOND)
    again = lanes.take()
    assert again is first


def test_who_waits_is_behind_the_first_of_its_subject_as_long_as_that_one_holds_it() -> None:
    lanes = lanes_of()
    for key, subject in ((1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "")):
        lanes.add(delivery(key, subject), 0)

    def behind() -> dict[int, int | None]:
        subjects = {1: "a", 2: "a", 3: "a", 4: "b", 5: ""}
        return {key: lanes.behind(subject, key) for key, subject in subjects.items()}

    nobody = dict.fromkeys(range(1, 6))
    assert behind() == nobody
    first = lanes.take()
    assert first is not None
    assert behind() == {**nobody, 2: 1, 3: 1}, "under way"
    fail(lanes, first, SECOND, 2 * SECOND)
    assert behind() == {**nobody, 2: 1, 3: 1}, "waits for its retry"
    lanes.advance(2 * SECOND)
    assert behind() == {**nobody, 2: 1, 3: 1}, "due again"
    lanes.advance(SECOND + HOLD)
    assert behind() == nobody


def test_after_the_hold_the_others_pass_and_the_failed_one_leaves_memory() -> None:
    lanes = lanes_of()
    lanes.add(delivery(1), 0)
    lanes.add(delivery(2), 0)
    first = lanes.take()
    assert first is not None
    fail(lanes, first, SECOND, 600 * SECOND)
    lanes.advance(SECOND + HOLD - 1)
    assert lanes.take() is None
    lanes.advance(SECOND + HOLD)
    second = lanes.take()
    assert second is not None
    assert second.key == 2
    assert lanes.take_released() == [first]
    assert 1 not in lanes


def test_the_hold_counts_from_the_first_failure_however_many_follow() -> None:
    lanes = lanes_of()
    lanes.add(delivery(1), 0)
    lanes.add(delivery(2), 0)
    now_us = 0
    for _ in range(3):
        one = lanes.take()
        assert one is not None
        assert one.key == 1
        fail(lanes, one, now_us, now_us + 10 * SECOND)
        now_us += 10 * SECOND
        lanes.advance(now_us)
    second = lanes.take()
    assert second is not None
    assert second.key == 2
    assert [one.key for one in lanes.take_released()] == [1]


@pytest.mark.parametrize("subject", ["", "call/1"])
def test_without_a_subject_or_a_hold_nothing_waits(subject: str) -> None:
    lanes = lanes_of(hold_us=0 if subject else HOLD)
    for key in (1, 2, 3):
        lanes.add(delivery(key, subject), 0)
    taken = [lanes.take() for _ in range(3)]
    assert {one.key for one in taken if one is not None} == {1, 2, 3}


def test_what_could_not_be_tried_is_the_next_again() -> None:
    lanes = lanes_of()
    lanes.add(delivery(1), 0)
    lanes.add(delivery(2), 0)
    first = lanes.take()
    assert first is not None
    lanes.requeue_taken(first)
    assert lanes.take() is first


def test_erasing_forgets_what_waits_is_due_or_parked_and_nothing_of_others() -> None:
    lanes = lanes_of(limit=2)
    for key, subject in ((1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "b")):
        lanes.add(delivery(key, subject), 0)
    first = lanes.take()
    assert first is not None
    fail(lanes, first, 0, SECOND)
    lanes.erase("a")
    assert [key in lanes for key in (1, 2, 3, 4, 5)] == [False, False, False, False, True]
    lanes.advance(HOLD)
    other = lanes.take()
    assert other is not None
    assert other.key == 5
    assert lanes.take() is None
    # What comes after the erasure is as good as any.
    lanes.add(delivery(6, "a"), 0)
    fresh = lanes.take()
    assert fresh is not None
    assert fresh.key == 6
    lanes.settle(other)
    lanes.settle(fresh)
    assert (lanes.held_count, lanes.held_bytes) == (0, 0)


def test_what_is_turned_away_while_a_refill_is_read_is_read_too() -> None:
    lanes = lanes_of(limit=1)
    for key in (1, 2):
        lanes.add(delivery(key), 0)
    first = lanes.take()
    assert first is not None
    lanes.settle(first)
    assert lanes.next_refill() == ("call/1", (2, 2))
    lanes.add(delivery(3), 0)
    lanes.refill("call/1", [delivery(2)], None, 0)
    second = lanes.take()
    assert second is not None
    assert second.key == 2
    lanes.settle(second)
    assert lanes.next_refill() == ("call/1", (3, 3))


def test_clearing_keeps_what_the_database_does_not_know() -> None:
    lanes = lanes_of()
    for key, subject in ((1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "c")):
        lanes.add(delivery(key, subject), 0)
    failed, flying, known = lanes.take(), lanes.take(), lanes.take()
    assert failed is not None
    assert flying is not None
    assert known is not None
    failed.attempt_count, failed.first_failed_us, failed.due_us = 1, 0, SECOND
    lanes.park(failed, 0)
    fail(lanes, known, 0, SECOND)
    lanes.clear()
    assert [key in lanes for key in (1, 2, 3, 4, 5)] == [True, False, True, False, False]
    # Its subject is still held, until it has been sent.
    lanes.add(delivery(2, "a"), 0)
    assert lanes.take() is None
    lanes.advance(SECOND)
    assert lanes.take() is failed


class LanesMachine(RuleBasedStateMachine):
    """Lanes beside a model: `pending` is the database, `accepted` the order in which each subject's events came."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = MemoryLimits(lane=3)
        self.held = Held()
        self.lanes = Lanes(HOLD, self.limits, self.held)
        self.now_us = 0
        self.key = 0
        self.pending: dict[int, Delivery] = {}
        self.flying: dict[int, Delivery] = {}
        self.unwritten: list[tuple[int, int]] = []
        self.failed_us: dict[int, int] = {}

    @rule(subject=st.sampled_from(["a", "a", "b", ""]), count=st.integers(1, 6))
    def commit(self, subject: str, count: int) -> None:
        for _ in range(count):
            self.key += 1
            one = delivery(self.key, subject, due_us=self.now_us)
            self.pending[self.key] = one
            self.lanes.add(one, self.now_us)

    @rule(count=st.integers(1, 4))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            key = self.take()
            if key is not None:
                self.end(key)

    @rule(wait_s=st.sampled_from([1, 5, 120]))
    def deliver_badly(self, wait_s: int) -> None:
        key = self.take()
        if key is not None:
            self.miss(key, wait_s)

    @rule()
    def begin(self) -> None:
        self.take()

    def take(self) -> int | None:
        one = self.lanes.take()
        if one is None:
            return None
        assert one.key in self.pending, "it had ended"
        assert one.key not in self.flying, "twice in flight"
        if one.subject:
            assert all(other.subject != one.subject for other in self.flying.values()), "two of a subject in flight"
            for other in self.pending.values():
                if other.subject == one.subject and other.key < one.key:
                    assert other.key in self.failed_us, f"{one.key} before {other.key}, which was never tried"
                    assert self.now_us >= self.failed_us[other.key] + HOLD, f"{one.key} passed {other.key} too early"
        self.flying[one.key] = one
        return one.key

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.flying))))

    def end(self, key: int) -> None:
        one = self.flying.pop(key)
        del self.pending[one.key]
        one.attempt_count += 1
        self.lanes.settle(one)
        self.unwritten.append((one.key, one.attempt_count))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), wait_s=st.sampled_from([1, 5, 29, 31, 120]))
    def fail(self, data: st.DataObject, wait_s: int) -> None:
        self.miss(data.draw(st.sampled_from(sorted(self.flying))), wait_s)

    def miss(self, key: int, wait_s: int) -> None:
        one = self.flying.pop(key)
        one.attempt_count += 1
        if one.first_failed_us is None:
            one.first_failed_us = self.failed_us[one.key] = self.now_us
        one.due_us = self.now_us + wait_s * SECOND
        self.lanes.park(one, self.now_us)
        self.unwritten.append((one.key, one.attempt_count))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        one = self.flying.pop(data.draw(st.sampled_from(sorted(self.flying))))
        self.lanes.requeue_taken(one)

    @precondition(lambda self: self.unwritten)
    @rule()
    def write(self) -> None:
        key, number = self.unwritten.pop(0)
        self.lanes.note_written(key, number)

    @rule(wait_s=st.sampled_from([1, 10, 30, 200]))
    def wait(self, wait_s: int) -> None:
        self.now_us += wait_s * SECOND
        self.lanes.advance(self.now_us)

    @rule()
    def read_backlog(self) -> None:
        """What the engine does with released ones: they are read again when they are due."""
        self.lanes.take_released()
        for one in sorted(self.pending.values(), key=lambda one: (one.due_us, one.key)):
            if one.attempt_count and one.due_us <= self.now_us and one.key not in self.lanes:
                self.lanes.add(self.copy(one), self.now_us)

    @rule(limit=st.integers(1, 4))
    def refill(self, limit: int) -> None:
        wanted = self.lanes.next_refill()
        if wanted is None:
            return
        subject, place = wanted
        rows = [
            one
            for one in sorted(self.pending.values(), key=place_of)
            if one.subject == subject and place_of(one) >= place and not one.attempt_count
        ][:limit]
        after = None if len(rows) < limit else (rows[-1].sequence or 0, rows[-1].key + 1)
        fresh = [self.copy(one) for one in rows if one.key not in self.lanes]
        self.lanes.refill(subject, fresh, after, self.now_us)

    @rule(only_held=st.booleans())
    def spill(self, only_held: bool) -> None:
        if only_held:
            self.lanes.spill_held()
        else:
            self.lanes.spill_idle()

    @rule(subject=st.sampled_from(["a", "b"]))
    def erase(self, subject: str) -> None:
        for key in [one.key for one in self.pending.values() if one.subject == subject and one.key not in self.flying]:
            del self.pending[key]
        self.lanes.erase(subject)

    @rule()
    def start_over(self) -> None:
        """What holds its subject is read first, then the backlog in its order."""
        self.lanes.clear()
        rows = sorted(self.pending.values(), key=lambda one: (one.due_us, one.key))
        holding = [one for one in rows if one.first_failed_us is not None and one.first_failed_us + HOLD >= self.now_us]
        for one in [*holding, *(one for one in rows if one.due_us <= self.now_us)]:
            if one.key not in self.lanes:
                self.lanes.add(self.copy(one), self.now_us)

    def copy(self, one: Delivery) -> Delivery:
        again = delivery(one.key, one.subject, one.sequence, one.due_us)
        again.attempt_count, again.first_failed_us = one.attempt_count, one.first_failed_us
        self.pending[one.key] = again
        return again

    @invariant()
    def memory_is_bounded_and_counted(self) -> None:
        waiting = [one for one in self.pending.values() if one.key in self.lanes and not one.attempt_count]
        for subject in "abc":
            assert sum(one.subject == subject and one.key not in self.flying for one in waiting) <= 3 + 4
        assert self.lanes.held_count == self.held.count
        assert self.lanes.held_bytes == self.held.byte_count
        assert self.lanes.held_count <= len(self.pending)
        assert self.lanes.held_count >= len(self.flying)

    def teardown(self) -> None:
        """Whatever happened, everything that is pending is taken in the end."""
        if sys.exc_info()[0] is not None:
            return
        for one in list(self.flying.values()):
            del self.pending[one.key]
            one.attempt_count += 1
            self.lanes.settle(one)
        self.flying.clear()
        for _ in range(200):
            self.now_us += 200 * SECOND
            self.lanes.advance(self.now_us)
            for key, number in self.unwritten:
                self.lanes.note_written(key, number)
            self.unwritten.clear()
            self.read_backlog()
            self.refill(4)
            while (taken := self.lanes.take()) is not None:
                del self.pending[taken.key]
                taken.attempt_count += 1
                self.lanes.settle(taken)
                self.lanes.note_written(taken.key, taken.attempt_count)
            if not self.pending:
                break
        assert not self.pending, "lost"
        assert (self.held.count, self.held.byte_count) == (0, 0)


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
