"""Names of outcomes, and the wait a receiver asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.outcome import Outcome, outcome_of_status, parse_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "succeeded"), (204, "succeeded"), (299, "succeeded"), (300, "redirect"), (308, "redirect"),
        (400, "client_error"), (404, "client_error"), (410, "gone"), (429, "throttled"), (499, "client_error"),
        (500, "server_error"), (503, "server_error"), (599, "server_error"), (600, "malformed"), (999, "malformed"),
        (100, "malformed"), (101, "malformed"), (103, "malformed"), (0, "malformed"),
    ],
)  # fmt: skip
def test_status_names_the_outcome(status: int, outcome: str) -> None:
    assert outcome_of_status(status, has_retry_after=False) == outcome


def test_retry_after_makes_only_a_503_throttled() -> None:
    assert outcome_of_status(503, has_retry_after=True) is Outcome.THROTTLED
    assert outcome_of_status(500, has_retry_after=True) is Outcome.SERVER_ERROR
    assert outcome_of_status(404, has_retry_after=True) is Outcome.CLIENT_ERROR


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("120", 120), (" 7 ", 7), ("3600", 3600), ("3601", 3600), ("9" * 5000, 3600), ("0" * 5000 + "5", 5),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37), ("Sunday, 06-Nov-94 08:49:37 GMT", 37), ("Sun Nov  6 08:49:37 1994", 37),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
    ],
)  # fmt: skip
def test_a_wait_is_understood(value: str, seconds: int) -> None:
    assert parse_retry_after(value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "٣", "1e3", "Sun, 99 Nov 1994 08:49:37 GMT", "\x00"])
def test_nonsense_is_no_wait(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


@given(st.one_of(st.text(), st.integers().map(str), st.datetimes(min_value=datetime(1000, 1, 1)).map(format_datetime)))
def test_a_wait_is_always_between_zero_and_an_hour(value: str) -> None:
    wait = parse_retry_after(value, NOW)
    assert wait is None or timedelta() <= wait <= timedelta(hours=1)
