"""When a condition holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from offhook.flows.conditions import digits_hold, time_holds, variable_holds
from offhook.flows.options import ConditionCallDigits, ConditionDatetime, ConditionVariable

MONDAY = datetime(2026, 11, 30, 14, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("variable", "option", "holds"),
    [
        ("a", {"condition": "==", "value_string": "a"}, True),
        ("a", {"condition": "!=", "value_string": "a"}, False),
        ("10", {"condition": "<", "value_string": "9"}, True),
        ("10", {"condition": "<", "value_type": "number", "value_number": 9}, False),
        ("10.5", {"condition": ">=", "value_type": "number", "value_number": 10.5}, True),
        ("ten", {"condition": "!=", "value_type": "number", "value_number": 9}, False),
        ("nan", {"condition": ">", "value_type": "number", "value_number": 9}, False),
        ("abc", {"condition": "<=", "value_type": "length", "value_length": 3}, True),
        ("", {"condition": ">", "value_type": "length", "value_length": 0}, False),
    ],
)
def test_a_variable(variable: str, option: dict[str, Any], holds: bool) -> None:
    assert variable_holds(msgspec.convert({"variable": variable, **option}, ConditionVariable)) is holds


@pytest.mark.parametrize(
    ("option", "holds"),
    [
        ({"condition": "=="}, True),
        ({"condition": "==", "hour": 14, "minute": 5}, True),
        ({"condition": "==", "hour": 14, "minute": 6}, False),
        ({"condition": ">=", "hour": 9}, True),
        ({"condition": "<", "hour": 14}, False),
        ({"condition": "==", "day": -1, "month": 11}, True),
        ({"condition": "==", "weekdays": [1, 2, 3]}, True),
        ({"condition": "==", "weekdays": [0, 6]}, False),
        ({"condition": ">=", "hour": 9, "weekdays": []}, True),
    ],
)
def test_the_time_in_utc(option: dict[str, Any], holds: bool) -> None:
    assert time_holds(msgspec.convert(option, ConditionDatetime), MONDAY) is holds


@pytest.mark.parametrize(
    ("digits", "option", "holds"),
    [
        ("12", {"length": 2}, True),
        ("1", {"length": 2}, False),
        ("1#", {"key": "#"}, True),
        ("12", {"key": "#", "length": 3}, False),
        ("", {}, True),
    ],
)
def test_the_digits(digits: str, option: dict[str, Any], holds: bool) -> None:
    assert digits_hold(msgspec.convert(option, ConditionCallDigits), digits) is holds
