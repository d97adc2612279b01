"""A place in the log: both spellings, and the two that are no place of this log."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.errors import ConflictError, InvalidError
from offhook.domain.events.cursor import check_reached, cursor_text, read_cursor


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**9 - 1))
def test_what_was_given_out_is_read_again(position: int, epoch: int) -> None:
    assert read_cursor(cursor_text(position, epoch), epoch=epoch) == position
    assert read_cursor(str(position), epoch=epoch) == position


@pytest.mark.parametrize("text", ["", "x", "-1", "1.", ".1", "1.-1", "1.2.3", "१", " 1", "1 ", "1.5e3", "9" * 19, "+1"])
def test_anything_else_names_its_field(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read_cursor(text)
    assert refused.value.field == "after"


@given(st.text(max_size=30))
def test_no_text_raises_anything_unexpected(text: str) -> None:
    with suppress(InvalidError, ConflictError):
        assert read_cursor(text) >= 0


def test_a_cursor_of_another_epoch_says_so() -> None:
    with pytest.raises(ConflictError) as refused:
        read_cursor("1.7", epoch=2)
    assert refused.value.reason == "CURSOR_OF_ANOTHER_EPOCH"
    assert "epoch 1" in refused.value.message


def test_a_cursor_that_the_log_has_not_reached_says_how_far_it_is() -> None:
    check_reached(7, 7)
    with pytest.raises(ConflictError) as refused:
        check_reached(8, 7)
    assert refused.value.reason == "CURSOR_BEYOND_END"
    assert "after=1.7" in refused.value.message
