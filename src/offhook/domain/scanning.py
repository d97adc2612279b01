"""Where the events of a large body begin and end, found a step at a time.

Theory of operation. Reading 16 MiB of JSON in one go takes long enough for everything else to notice. So the body is
walked once, token by token: brackets and numbers outside of strings, and strings as wholes. That is enough to see
where an event ends, how deep it is nested and whether its numbers are too large, without making a single object of
it; that it is valid JSON is for the reader of each event to find. The walk is a generator that may be left alone after
any of its steps.

A token has to lie in one window, so that no search runs on for ever. A window holds the largest event, and begins anew
at a token that its end cut: one that fills a window is larger than any event may be.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Generator

from offhook.domain.errors import InvalidError, OffhookError, TooLargeError

Span = tuple[int, int]

WHITE_SPACE = b" \t\r\n"

_TOKEN = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'  # a string
    rb"|([\[{])|([\]}])"
    rb"|(-?[0-9][0-9.eE+-]*+)"
    rb'|(")',  # a string that the window cuts, or that never ends
    re.DOTALL,
)
_OPEN, _CLOSE, _NUMBER, _CUT = 1, 2, 3, 4
_TOKENS_PER_STEP = 512
# What stands around an event's data: type, id, subject, and some white space.
_AROUND = 64 * 1024
# Shorter than 1e100 is always in range. The largest double has 309 digits.
_SHORT_NUMBER = 5
_LONGEST_INTEGER = 309


def find_events(
    body: bytes | bytearray, *, max_event_bytes: int, max_depth: int, max_batch: int
) -> Generator[None, None, list[Span]]:
    """The places of the events in a body: of the one object, or of those in an array.

    Raises InvalidError and TooLargeError with the index of the event at fault.
    """
    scan = _Scan(body, max_event_bytes, max_depth, max_batch)
    try:
        yield from scan.walk()
        return scan.events()
    except OffhookError as error:
        if scan.is_batch and error.field == "data":
            error.index = len(scan.found)
            error.message = f"Event {error.index}: {error.message}"
        raise


class _Scan:
    def __init__(self, body: bytes | bytearray, max_event_bytes: int, max_depth: int, max_batch: int) -> None:
        self._body = body
        self._window = max_event_bytes + _AROUND
        self._max_event_bytes = max_event_bytes
        self._max_depth = max_depth
        self._max_batch = max_batch
        self.is_batch = first_byte(body) == b"["
        # Where an event's own brackets begin, and its data's deepest.
        self._outside = 1 if self.is_batch else 0
        self._deepest = self._outside + 1 + max_depth
        self._depth = 0
        self._begin = 0
        self._end = -1
        self.found: list[Span] = []

    def walk(self) -> Generator[None, None, None]:
        at, size = 0, len(self._body)
        while at < size:
            end = min(size, at + self._window)
            next_at = end
            for count, token in enumerate(_TOKEN.finditer(self._body, at, end)):
                kind = token.lastindex
                if kind is None:
                    pass
                elif kind == _CUT or (kind == _NUMBER and token.end() == end < size):
                    next_at = token.start()
                    break
                else:
                    self._take(kind, token)
                if not count % _TOKENS_PER_STEP:
                    yield
            if next_at == at:
                raise self._cut(end == size)
            at = next_at
            yield

    def _take(self, kind: int, token: re.Match[bytes]) -> None:
        if kind == _NUMBER:
            if token.end() - token.start() >= _SHORT_NUMBER and not _is_in_range(token[0]):
                raise InvalidError("data contains a number that is out of range.", field="data")
            return
        if kind == _OPEN:
            if self._depth == self._outside:
                self._begin_event(token.start())
            self._depth += 1
            if self._depth > self._deepest:
                raise InvalidError(f"data is nested deeper than {self._max_depth}.", field="data")
            return
        self._depth -= 1
        if self._depth == self._outside:
            self._end_event(token.end())
        elif self._depth < self._outside:
            self._end_batch(token.end())

    def _begin_event(self, at: int) -> None:
        before = self.found[-1][1] if self.found else 0
        expected = b"," if self.found else b"[" * self._outside
        if self._end >= 0 or self._between(before, at) != expected:
            raise _no_json()
        if len(self.found) == self._max_batch:
            raise InvalidError(f"A batch has 1 to {self._max_batch} events; this one has more.", field="body")
        self._begin = at

    def _end_event(self, at: int) -> None:
        if at - self._begin > self._window:
            raise self._too_large()
        self.found.append((self._begin, at))

    def _end_batch(self, at: int) -> None:
        before = self.found[-1][1] if self.found else 0
        if self._end >= 0 or self._between(before, at) not in (b"]", b"[]"):
            raise _no_json()
        self._end = at

    def events(self) -> list[Span]:
        """What was found, once all has been walked."""
        end = self._end if self.is_batch else (self.found[-1][1] if self.found else -1)
        if end < 0 or self._depth or self._between(end, len(self._body)):
            raise _no_json()
        if not self.found:
            raise InvalidError(f"A batch has 1 to {self._max_batch} events; this one has 0.", field="body")
        return self.found

    def _between(self, start: int, end: int) -> bytes:
        if end - start > _AROUND:
            raise InvalidError("The body has more white space between events than it may have.", field="body")
        return bytes(self._body[start:end]).strip(WHITE_SPACE)

    def _cut(self, is_last: bool) -> OffhookError:
        """A token fills the window: at the end of the body it is a string that nobody closed."""
        return _no_json() if is_last else self._too_large()

    def _too_large(self) -> OffhookError:
        return TooLargeError(f"The event is larger than {self._max_event_bytes} bytes.", field="data")


def first_byte(body: bytes | bytearray) -> bytes:
    """The first that is no white space, if it comes soon."""
    return bytes(body[:_AROUND]).lstrip(WHITE_SPACE)[:1]


def _is_in_range(number: bytes) -> bool:
    """Whether a double can hold it. What is no number at all passes: it is no JSON, which is found elsewhere."""
    try:
        if len(number) <= _LONGEST_INTEGER or not number.lstrip(b"-").isdigit():
            return not math.isinf(float(number))
        return len(number) <= _LONGEST_INTEGER + 1 and abs(int(number)) <= sys.float_info.max
    except ValueError:
        return True


def _no_json() -> InvalidError:
    return InvalidError(
        "The body is not valid JSON: an object, or an array of objects.", reason="INVALID_JSON_BODY", field="body"
    )
