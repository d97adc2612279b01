"""What is wrong with a JSON text that was refused, in words: msgspec says where it stopped, and rarely why."""

from __future__ import annotations

import json

from offhook.domain.errors import InvalidError

_SPACE = " \t\r\n"


def json_fault(text: bytes, begin: int = 0) -> InvalidError:
    """The refusal of the value that `text` starts with, which msgspec could not read; `begin` is its place in the body.

    Python's own reading takes two things that JSON does not have, and says of all others what it expected. What is no
    UTF-8 is left to others: `text` may end in the middle of a character.
    """
    whole = text.decode("utf-8", "surrogateescape")
    content = whole.lstrip(_SPACE)
    begin += len(whole) - len(content)
    # A number's value is of no interest here, and Python reads none of more than 4,300 digits as an integer.
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=len, parse_float=len)
    try:
        _, end = decoder.raw_decode(content)
    except _ConstantError as constant:
        return invalid_json(f"{constant} is no JSON.")
    except RecursionError:
        return invalid_json("The body is nested too deeply.")
    except json.JSONDecodeError as error:
        return invalid_json(f"The body is not valid JSON at byte {begin + _size(content[: error.pos])}: {error.msg}.")
    if begin == 0 and content[end:].strip(_SPACE):
        return invalid_json(f"The body goes on after its end, at byte {_size(content[:end])}.")
    return invalid_json("A text contains half of a surrogate pair (such as \\ud800), which no UTF-8 can say.")


def invalid_json(message: str) -> InvalidError:
    """A body that is no JSON."""
    return InvalidError(message, reason="INVALID_JSON_BODY", field="body")


class _ConstantError(Exception):
    pass


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
