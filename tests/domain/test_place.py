"""A page token means a moment, however its zeros are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.errors import InvalidError
from offhook.domain.place import Place, place_token, read_place

NINE_US = 1_777_712_400_000_000  # 2026-05-02T09:00:00Z
YEAR_9999_US = 253_402_300_799_999_999


@given(created_us=st.integers(0, YEAR_9999_US), key=st.integers(0, 10**18 - 1))
def test_a_place_comes_back_as_it_was(created_us: int, key: int) -> None:
    assert read_place(place_token(Place(created_us, key))) == Place(created_us, key)


def test_the_beginning_and_the_end_have_no_token() -> None:
    assert read_place("") is None
    assert place_token(None) == ""


def test_a_token_has_six_fraction_digits_and_a_key() -> None:
    assert place_token(Place(NINE_US + 500_000, 2)) == "2026-05-02T09:00:00.500000Z.2"


@pytest.mark.parametrize(
    ("token", "after_us", "key"),
    [
        ("2026-05-02T09:00:00.500000Z.2", 500_000, 2),
        ("2026-05-02T09:00:00.5Z.2", 500_000, 2),
        ("2026-05-02T09:00:00.50Z.2", 500_000, 2),
        ("2026-05-02T09:00:00.5Z", 500_000, 0),
        ("2026-05-02T09:00:00.500001Z", 500_001, 0),
        ("2026-05-02T09:00:01Z", 1_000_000, 0),
        ("2026-05-02T09:00:01Z.5", 1_000_000, 5),
        ("2026-05-02T09:00:01.000000Z.4", 1_000_000, 4),
    ],
)
def test_trimmed_zeros_are_the_same_moment(token: str, after_us: int, key: int) -> None:
    assert read_place(token) == Place(NINE_US + after_us, key)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "2026-05-02T09:00:00.Z",
        "2026-05-02T09:00:00.5000001Z",
        "2026-13-02T09:00:00Z",
        "2026-05-02T09:00:00",
        "2026-05-02T09:00:00Z.",
        "2026-05-02T09:00:00Z.x",
        "२०२६-05-02T09:00:00Z",
        " 2026-05-02T09:00:00Z",
    ],
)
def test_anything_else_names_its_field(token: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read_place(token)
    assert (refused.value.field, refused.value.reason) == ("page_token", "INVALID_REQUEST_PARAMETER")
