"""How often somebody may be wrong, and that others do not pay for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.accounts import throttle as module
from offhook.accounts.throttle import KeyGuesses, LogInThrottle, ThrottleLimits

LIMITS = ThrottleLimits()
HERE, THERE = "192.0.2.1", "198.51.100.7"


def failed(throttle: LogInThrottle, count: int, now_s: float, address: str = HERE, name: str = "ada") -> None:
    for _ in range(count):
        throttle.failed(name, address, now_s)


def test_five_failures_are_free_and_then_each_costs_twice_as_long() -> None:
    throttle = LogInThrottle(LIMITS)
    failed(throttle, 4, 0)
    assert throttle.wait_s("ada", HERE, 0) == 0
    waits, now_s = [], 0.0
    for _ in range(9):
        throttle.failed("ada", HERE, now_s)
        waits.append(throttle.wait_s("ada", HERE, now_s))
        now_s += waits[-1]
        assert throttle.wait_s("ada", HERE, now_s) == 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_strangers_failures_from_elsewhere_keep_nobody_out() -> None:
    throttle = LogInThrottle(LIMITS)
    failed(throttle, 99, 0, address=THERE)
    assert throttle.wait_s("ada", THERE, 1) > 0
    assert throttle.wait_s("ada", HERE, 1) == 0
    assert throttle.wait_s("bob", THERE, 1) == 0


def test_a_hundred_an_hour_from_anywhere_cost_a_minute_each() -> None:
    throttle = LogInThrottle(LIMITS)
    for number in range(100):
        assert throttle.wait_s("ada", f"a{number}", 30) == 0
        failed(throttle, 1, 30, address=f"a{number}")
    assert throttle.wait_s("ada", HERE, 30) == 60
    assert throttle.wait_s("ada", HERE, 90) == 0
    failed(throttle, 1, 90, address="another")
    assert throttle.wait_s("ada", HERE, 91) == 59
    assert throttle.wait_s("ada", HERE, 30 + 3600) == 0


def test_a_right_password_begins_anew_for_its_address_only() -> None:
    throttle = LogInThrottle(LIMITS)
    for address in (HERE, THERE):
        failed(throttle, 8, 0, address)
    throttle.succeeded("ada", HERE)
    failed(throttle, 4, 1)
    assert throttle.wait_s("ada", HERE, 1) == 0
    assert throttle.wait_s("ada", THERE, 1) > 0


def test_an_hour_without_a_failure_begins_anew() -> None:
    throttle = LogInThrottle(LIMITS)
    failed(throttle, 20, 0)
    failed(throttle, 1, 3600)
    assert throttle.wait_s("ada", HERE, 3600) == 0


def test_malformed_ones_count_for_their_address_and_for_no_username() -> None:
    throttle = LogInThrottle(LIMITS)
    failed(throttle, 200, 0, name="")
    assert throttle.wait_s("", HERE, 0) == 60
    assert throttle.wait_s("", THERE, 0) == 0
    assert throttle.wait_s("ada", HERE, 0) == 0


def test_twenty_wrong_keys_a_minute_and_then_none_is_looked_up() -> None:
    guesses = KeyGuesses(LIMITS)
    for second in range(20):
        assert guesses.wait_s(HERE, second) == 0
        guesses.failed(HERE, second)
    assert guesses.wait_s(HERE, 20) == 40
    assert guesses.wait_s(THERE, 20) == 0
    assert guesses.wait_s(HERE, 60) == 0
    guesses.failed(HERE, 60)
    assert guesses.wait_s(HERE, 60) == 0


def test_zero_means_no_limit() -> None:
    none = ThrottleLimits(free_failures=0, wrong_keys=0)
    throttle, guesses = LogInThrottle(none), KeyGuesses(none)
    failed(throttle, 500, 0)
    for _ in range(500):
        guesses.failed(HERE, 0)
    assert throttle.wait_s("ada", HERE, 0) == 0
    assert guesses.wait_s(HERE, 0) == 0


def test_a_stranger_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ENTRIES", 10)
    throttle, guesses = LogInThrottle(LIMITS), KeyGuesses(LIMITS)
    for number in range(100):
        throttle.failed(f"{'x' * 1000}{number}", HERE, number)
        guesses.failed(f"a{number}", number)
    tables = (throttle._pairs, throttle._usernames, guesses._addresses)
    assert [len(table._entries) for table in tables] == [10, 10, 10]
    assert all(len(key) <= 16 for table in tables for key in table._entries)


names = st.sampled_from(["ada", "bob", ""])
addresses = st.sampled_from(["a", "b", "c"])
tries = st.lists(st.tuples(names, addresses, st.floats(0, 100), st.booleans()), max_size=60)


@given(tries)
def test_whoever_waits_as_long_as_told_is_let_in_and_nobody_waits_longer_than_a_minute(
    story: list[tuple[str, str, float, bool]],
) -> None:
    throttle = LogInThrottle(LIMITS)
    own_failures: dict[tuple[str, str], int] = {}
    now_s = 0.0
    for name, address, gap_s, is_right in story:
        now_s += gap_s
        wait_s = throttle.wait_s(name, address, now_s)
        assert 0 <= wait_s <= 60
        if own_failures.get((name, address), 0) < LIMITS.free_failures:
            # Sixty tries never reach the hundred, so nobody else's failures count here.
            assert wait_s == 0
        now_s += wait_s
        # A clock that adds up gaps may be a rounding short of the very moment.
        assert throttle.wait_s(name, address, now_s + 1e-6) == 0
        if is_right:
            throttle.succeeded(name, address)
            own_failures.pop((name, address), None)
        else:
            throttle.failed(name, address, now_s)
            own_failures[name, address] = own_failures.get((name, address), 0) + 1


@given(st.lists(st.tuples(addresses, st.floats(0, 30)), max_size=200))
def test_no_address_gets_more_than_twenty_wrong_keys_looked_up_in_its_minute(story: list[tuple[str, float]]) -> None:
    guesses = KeyGuesses(LIMITS)
    windows: dict[str, tuple[float, int]] = {}
    now_s = 0.0
    for address, gap_s in story:
        now_s += gap_s
        start_s, count = windows.get(address, (now_s, 0))
        if now_s - start_s >= 60:
            start_s, count = now_s, 0
        if guesses.wait_s(address, now_s) == 0:
            guesses.failed(address, now_s)
            windows[address] = (start_s, count + 1)
            assert windows[address][1] <= 20
        else:
            assert count >= 20
