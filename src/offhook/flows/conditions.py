"""Whether a flow's condition holds: pure functions of what an action says and of what is known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from offhook.flows.options import (
    Comparison,
    ConditionCallDigits,
    ConditionDatetime,
    ConditionVariable,
)

_COMPARE: Mapping[Comparison, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "==": operator.eq,
        "!=": operator.ne,
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
    }
)
_ANY = -1


def variable_holds(option: ConditionVariable) -> bool:
    """Compare what stands in `option.variable` already filled in. A word is no number: false, whatever is asked."""
    compare = _COMPARE[option.condition]
    match option.value_type:
        case "string":
            return compare(option.variable, option.value_string)
        case "length":
            return compare(len(option.variable), option.value_length)
        case "number":
            try:
                number = float(option.variable)
            except ValueError:
                return False
            return compare(number, option.value_number)


def time_holds(option: ConditionDatetime, now: datetime) -> bool:
    """Compare each part of the time in UTC that the option names; all must hold."""
    at = now.astimezone(UTC)
    compare = _COMPARE[option.condition]
    parts = ((at.minute, option.minute), (at.hour, option.hour), (at.day, option.day), (at.month, option.month))
    if any(wanted != _ANY and not compare(actual, wanted) for actual, wanted in parts):
        return False
    return not option.weekdays or at.isoweekday() % 7 in option.weekdays


def digits_hold(option: ConditionCallDigits, digits: str) -> bool:
    """Whether one of the wanted things was typed; with nothing wanted, always."""
    is_long_enough = option.length > 0 and len(digits) >= option.length
    has_key = option.key != "" and option.key in digits
    return is_long_enough or has_key or (option.length == 0 and option.key == "")
