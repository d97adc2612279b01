"""Where the events of a large body begin and end, and whether a large event's numbers and nesting are in bounds.

What takes long is a generator, which may be left alone after any of its steps; and nothing here makes an object of
each value, as millions of small ones cost far more than reading them.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Generator

import msgspec

from offhook.domain.errors import InvalidError, OffhookError, TooLargeError
from offhook.domain.events.json_faults import invalid_json, json_fault

Span = tuple[int, int]

WHITE_SPACE = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*+")
# What stands around an event's data: type, id, subject, and some white space.
_AROUND = 64 * 1024
# msgspec has no way to read one value of many, but says which byte, counted from 1, comes after the first one.
_GOES_ON = re.compile(r"trailing characters \(byte (\d+)\)")
_TRUNCATED = "truncated"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPEN = ord("[")
_BRACKETS_PER_STEP = 32 * 1024
# Only such a number can be out of range: the largest double is below 1e309. One is looked for only where a number
# begins, as each place inside of one would be read on from to its end; and a set of bytes comes first, as `re` is quick
# to skip what cannot be the first byte.
_LARGE_NUMBER = re.compile(
    rb"[-0-9](?<![0-9.eE+-].)(?:[0-9.]*+[eE]\+?[0-9]{3,}+|[0-9.]{99,}+(?:[eE][+-]?[0-9]+)?+)", re.DOTALL
)
_NO_PART_OF_A_NUMBER = re.compile(rb"[^0-9.eE+-]")
_LARGE_EXPONENT = re.compile(rb"[0-9][eE]\+?[0-9]{3}")
_DIGIT = re.compile(rb"[0-9]")
_LONG = 100
_BYTES_PER_STEP = 64 * 1024
_MATCHES_PER_STEP = 512
_TEXTS_PER_STEP = 16 * 1024
# One less than the longest text that _LARGE_EXPONENT finds: what two pieces share, so that none is cut.
_SHARED = 5
_LONGEST_INTEGER = 309

_value = msgspec.json.Decoder(msgspec.Raw)


def find_events(
    body: bytes | bytearray, *, max_event_bytes: int, max_batch: int
) -> Generator[None, None, tuple[bool, list[Span]]]:
    """Whether a body is a batch, and where its events are.

    Whether they are events is not looked at, and neither is UTF-8. Raises InvalidError (body) and TooLargeError, with
    the fault and, in a batch, the index.
    """
    window = max_event_bytes + _AROUND
    at = _after_space(body, 0)
    if body[at : at + 1] != b"[":
        span = (at, _end_of_value(body, at, window))
        _expect_end(body, span[1])
        return False, [span]
    found: list[Span] = []
    at = _after_space(body, at + 1)
    mark: bytes | bytearray = b"]" if body[at : at + 1] == b"]" else b","
    while mark == b",":
        if len(found) == max_batch:
            raise InvalidError(f"A batch has 1 to {max_batch} events; this one has more.", field="body")
        try:
            end = _end_of_value(body, at, window)
        except OffhookError as error:
            raise at_index(len(found), error) from None
        found.append((at, end))
        at = _after_space(body, end)
        mark = body[at : at + 1]
        if mark == b",":
            at = _after_space(body, at + 1)
        yield
    if mark != b"]":
        raise at_index(len(found) - 1, invalid_json("It is followed by neither a comma nor the end of the array."))
    _expect_end(body, at + 1)
    if not found:
        raise InvalidError(f"A batch has 1 to {max_batch} events; this one has 0.", field="body")
    return True, found


def check_large_data(raw: bytes, max_depth: int) -> Generator[None, None, None]:
    """Raises InvalidError (data) where it is nested too deeply, or a number is one that no double can hold.

    `raw` is valid JSON.
    """
    # Brackets inside of strings count too, so this only spares the walk, and never the check.
    may_be_deep = raw.count(b"{") + raw.count(b"[") > max_depth
    may_be_large = has_digits(raw, _LONG) or (yield from _has_large_exponent(raw))
    if not (may_be_deep or may_be_large):
        return
    yield
    bare = yield from _without_texts(raw)
    if may_be_deep:
        is_deeper = yield from _is_deeper(bare.translate(_AS_SQUARE, _NO_BRACKETS), max_depth)
        if is_deeper:
            raise InvalidError(f"data is nested deeper than {max_depth}.", field="data")
    if may_be_large:
        yield from _check_numbers(bare)


def at_index(index: int, error: OffhookError) -> OffhookError:
    """The error, with the place in the batch of the event that is at fault."""
    error.index = index
    error.message = f"Event {index}: {error.message}"
    return error


def has_digits(raw: bytes, count: int) -> bool:
    """Whether as many digits stand in a row.

    Such a row covers every `count`th place somewhere, so only these are looked at: a search would cost more than all
    else that is done with an event.
    """
    for sample in _DIGIT.finditer(raw[count - 1 :: count]):
        at = count - 1 + sample.start() * count
        before = raw[at - count + 1 : at]
        start = at - len(before) + len(before.rstrip(b"0123456789"))
        row = raw[start : start + count]
        if len(row) == count and row.isdigit():
            return True
    return False


def _end_of_value(body: bytes | bytearray, at: int, window: int) -> int:
    with memoryview(body) as view, view[at : at + window] as piece:
        try:
            _value.decode(piece)
        except RecursionError:
            raise invalid_json("The body is nested too deeply.") from None
        except msgspec.DecodeError as error:
            goes_on = _GOES_ON.search(str(error))
            if goes_on is not None:
                return at + int(goes_on[1]) - 1
            if _TRUNCATED in str(error) and at + window < len(body):
                raise TooLargeError(f"The event is larger than {window - _AROUND} bytes.", field="data") from None
            raise json_fault(bytes(piece), at) from None
        return at + len(piece)


def _after_space(body: bytes | bytearray, at: int) -> int:
    found = _SPACE.match(body, at, at + _AROUND)
    return at if found is None else found.end()


def _expect_end(body: bytes | bytearray, at: int) -> None:
    if _after_space(body, at) != len(body):
        raise invalid_json(f"The body goes on after its end, at byte {at}.")


def _has_large_exponent(raw: bytes) -> Generator[None, None, bool]:
    for begin in range(0, len(raw), _BYTES_PER_STEP):
        if _LARGE_EXPONENT.search(raw, begin, begin + _BYTES_PER_STEP + _SHARED):
            return True
        yield
    return False


def _without_texts(raw: bytes) -> Generator[None, None, bytes]:
    count = _TEXTS_PER_STEP
    while count == _TEXTS_PER_STEP:
        raw, count = _STRING.subn(b"", raw, _TEXTS_PER_STEP)
        yield
    return raw


def _check_numbers(bare: bytes) -> Generator[None, None, None]:
    begin = 0
    while begin < len(bare):
        # The end of a piece is between two numbers, so that none is cut.
        after = _NO_PART_OF_A_NUMBER.search(bare, begin + _BYTES_PER_STEP)
        end = len(bare) if after is None else after.start()
        for count, number in enumerate(_LARGE_NUMBER.finditer(bare, begin, end), 1):
            if not _is_in_range(number[0]):
                raise InvalidError("data contains a number that is out of range.", field="data")
            if count % _MATCHES_PER_STEP == 0:
                yield
        yield
        begin = end


def _is_deeper(brackets: bytes, max_depth: int) -> Generator[None, None, bool]:
    depth = 0
    for begin in range(0, len(brackets), _BRACKETS_PER_STEP):
        for bracket in brackets[begin : begin + _BRACKETS_PER_STEP]:
            if bracket == _OPEN:
                depth += 1
                if depth > max_depth:
                    return True
            else:
                depth -= 1
        yield
    return False


def _is_in_range(number: bytes) -> bool:
    digits = number.lstrip(b"-")
    if len(digits) < _LONGEST_INTEGER or not digits.isdigit():
        return not math.isinf(float(number))
    return len(digits) == _LONGEST_INTEGER and int(digits) <= sys.float_info.max
