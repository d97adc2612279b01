"""What is logged, as short lines for a person at a terminal: when, and in words what happened and what to do next.

    14:03:22 CET  Incoming call +15551234567 → +15559876543: normal, 8.2 s
    14:03:22 CET  Warning: The webhook fails. Nothing listens on 127.0.0.1:5000.
                  → Start your program, or correct the address and port of
                  webhook_uri.

A line is no wider than the terminal, and than 80 columns, unless a single word is. Only what `words` knows is shown
below a warning. A warning that is said again and again, alone or in turn with a few others, is shown once a minute,
or when it comes after good news.
"""

from __future__ import annotations

import logging
import shutil
import textwrap
import time
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any

import structlog

from offhook.logs.text import plain
from offhook.logs.words import Words, is_told, words_of

_WIDTH = 80
_NARROWEST = 40
_AGAIN_AFTER_S = 60.0
_MAX_KNOWN = 8
_YELLOW, _RED, _PLAIN = "\x1b[33m", "\x1b[31m", "\x1b[0m"


class ShortLines:
    """The two processors of structlog that choose what is shown and make lines of it."""

    def __init__(self, *, has_colours: bool) -> None:
        self._has_colours = has_colours
        # When the last few warnings were shown, by their sentence; the one shown last stands last.
        self._shown_at_s: dict[str, float] = {}

    def choose(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let through what a person is told of; drop the rest before it costs anything."""
        if _is_warning(fields) or is_told(fields["event"]):
            return fields
        raise structlog.DropEvent

    def render(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
        """The lines. Drops a warning that was shown a moment ago."""
        words = words_of(fields)
        self._drop_repeated(words, fields)
        mark = "" if words.is_good else {logging.WARNING: "Warning: "}.get(_level(fields), "Error: ")
        mark = mark if _is_warning(fields) else ""
        start = f"{datetime.now().astimezone():%H:%M:%S %Z}  "
        width = max(min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH), _NARROWEST)
        lines = _folded(f"{mark}{words.sentence}", width, start, len(start))
        if mark and self._has_colours:
            colour = _YELLOW if _level(fields) == logging.WARNING else _RED
            lines[0] = lines[0].replace(mark, f"{colour}{mark}{_PLAIN}", 1)
        if words.advice:
            lines += _folded(words.advice, width, f"{' ' * len(start)}→ ", len(start))
        # The message of an exception may hold what a stranger wrote.
        trace = fields["exception"].split("\n") if "exception" in fields else []
        return "\n".join([*lines, *map(plain, trace)])

    def _drop_repeated(self, words: Words, fields: Mapping[str, Any]) -> None:
        if not _is_warning(fields):
            return
        if words.is_good:
            # What was bad before it is news again.
            self._shown_at_s.clear()
        now_s = time.monotonic()
        is_known = now_s - self._shown_at_s.get(words.sentence, -_AGAIN_AFTER_S) < _AGAIN_AFTER_S
        if is_known and "exception" not in fields:
            raise structlog.DropEvent
        self._shown_at_s.pop(words.sentence, None)
        self._shown_at_s[words.sentence] = now_s
        if len(self._shown_at_s) > _MAX_KNOWN:
            del self._shown_at_s[next(iter(self._shown_at_s))]


def _level(fields: Mapping[str, Any]) -> int:
    return logging.getLevelNamesMapping()[fields["level"].upper()]


def _is_warning(fields: Mapping[str, Any]) -> bool:
    return _level(fields) >= logging.WARNING


def _folded(text: str, width: int, start: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
