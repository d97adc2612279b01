"""Variables: `${name}` in the strings of an option, filled in just before the action runs (facts, section 5).

One pass: what was put in is text and never looked at again. A name that is not known is the empty text. A value is
escaped for where it goes, so that nobody who types digits or has a name can write JSON, SSML or an address.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from offhook.domain.errors import InvalidError
from offhook.flows.addresses import ADDRESSES

DIGITS = "voipbin.call.digits"
"""What the caller typed: the one of the system's own that a flow may set."""

_OWN = "voipbin."
# A name holds none of these three: else a text of many "${" would take for ever.
_NAME = re.compile(r"\$\{([^${}]*)\}")
_MAX_FILLED_BYTES = 262_144
_MAX_COUNT = 100
_MAX_BYTES = 65_536
_MAX_VALUE_BYTES = 32_768
# RFC 3986, section 2.2: what may stand in an address unescaped beside letters and digits.
_RESERVED = ":/?#[]@!$&'()*+,;=%"

Escape = Callable[[str], str]


class TooLongError(ValueError):
    """With its variables filled in, a text would be longer than any flow may be."""

    def __init__(self) -> None:
        super().__init__(f"with its variables a text has more than {_MAX_FILLED_BYTES} bytes")


def has_variables(text: str) -> bool:
    """Whether something is filled in here."""
    return _NAME.search(text) is not None


def filled(text: str, variables: Mapping[str, str], escaped: Escape | None = None) -> str:
    """`text` with its variables' values in their places. Raises TooLongError if that is too much."""

    room = _MAX_FILLED_BYTES - _size(text)

    def value_of(match: re.Match[str]) -> str:
        nonlocal room
        value = variables.get(match.group(1), "")
        value = value if escaped is None else escaped(value)
        room -= _size(value)
        if room < 0:
            raise TooLongError
        return value

    return _NAME.sub(value_of, text)


def filled_option(action_type: str, option: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """An option with every string in it filled in, nested ones too, each escaped for where it goes.

    Raises TooLongError.
    """
    return {name: _filled(action_type, name, value, variables) for name, value in option.items()}


def _filled(action_type: str, name: str, value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case str():
            if (action_type, name) in ADDRESSES:
                return _filled_address(value, variables)
            return filled(value, variables, _escape_of(action_type, name, value))
        case list():
            return [_filled(action_type, name, each, variables) for each in value]
        case dict():
            return {key: _filled(action_type, name, each, variables) for key, each in value.items()}
        case _:
            return value


def _escape_of(action_type: str, name: str, text: str) -> Escape | None:
    if (action_type, name) == ("webhook_send", "data"):
        return _in_json
    if (action_type, name) == ("talk", "text") and text.lstrip().startswith("<"):
        return _in_xml
    return None


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _in_xml(value: str) -> str:
    return html.escape(value)


def _filled_address(text: str, variables: Mapping[str, str]) -> str:
    """A variable at the beginning may be a whole address; anywhere else it is one part of it."""
    first = _NAME.match(text)
    if first is None:
        return filled(text, variables, lambda value: quote(value, safe=""))
    start = quote(variables.get(first.group(1), ""), safe=_RESERVED)
    return start + filled(text[first.end() :], variables, lambda value: quote(value, safe=""))


def checked_variables(given: Mapping[str, str]) -> dict[str, str]:
    """Those that a request gives; the system's own names are left out (facts, section 2.6).

    Raises InvalidError with INVALID_VARIABLES beyond the limits.
    """
    kept = {name: value for name, value in given.items() if not name.startswith(_OWN)}
    fault = _fault_of(kept)
    if fault:
        raise InvalidError(f"variables: {fault}", reason="INVALID_VARIABLES", field="variables")
    return kept


def fault_of_setting(variables: Mapping[str, str], name: str, value: str) -> str:
    """Why a flow may not set this variable, as a sentence; "" if it may."""
    if name == DIGITS:
        return "" if _size(value) <= _MAX_VALUE_BYTES else _TOO_LONG
    if name.startswith(_OWN):
        return f"{name} is the system's own: it cannot be set."
    mine = {key: each for key, each in variables.items() if not key.startswith(_OWN)}
    return _fault_of({**mine, name: value})


_TOO_LONG = f"A value has at most {_MAX_VALUE_BYTES} bytes."


def _fault_of(variables: Mapping[str, str]) -> str:
    if len(variables) > _MAX_COUNT:
        return f"There can be {_MAX_COUNT} variables at most."
    if any(_size(value) > _MAX_VALUE_BYTES for value in variables.values()):
        return _TOO_LONG
    if sum(_size(name) + _size(value) for name, value in variables.items()) > _MAX_BYTES:
        return f"All variables together have at most {_MAX_BYTES} bytes."
    return ""


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
