"""Pauses grow while something fails, and are short again after it went well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offhook.node.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.pause_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert [backoff.pause_s() for _ in range(2)] == [0.5, 1.0]


@given(first_s=st.floats(0.001, 10), factor=st.floats(1, 1_000), count=st.integers(1, 200))
def test_pauses_never_shrink_and_never_pass_the_longest(first_s: float, factor: float, count: int) -> None:
    backoff = Backoff(first_s, first_s * factor)
    pauses = [backoff.pause_s() for _ in range(count)]
    assert pauses == sorted(pauses)
    assert pauses[0] == first_s
    assert pauses[-1] <= first_s * factor
