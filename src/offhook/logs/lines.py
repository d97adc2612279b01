"""What is logged, as short lines for a person at a terminal: when, and in words what happened and what to do next.

    14:03:22 CET  Incoming call +15551234567 → +15559876543: normal, 8.2 s
    14:03:23 CET  Warning: The database is away. Nothing is accepted or delivered until it is back.
                  → See whether the disk is full, and whether the database runs: offhook doctor

A warning is one line with its advice if that is no longer than 160 columns; else the advice is a line of its own, so
that neither hides the other. No line is folded here: a terminal does that, and a folded command or URL could not be
copied. Only what `words` knows is shown of a warning. A warning that is said again and again, alone or in turn with a
few others, is shown once a minute, or when it comes after good news.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any

import structlog

from offhook.logs.text import plain_lines
from offhook.logs.words import Words, is_told, words_of

_LONGEST = 160
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
        lines = _one_or_two(start, f"{mark}{words.sentence}", words.advice)
        if mark and self._has_colours:
            colour = _YELLOW if _level(fields) == logging.WARNING else _RED
            lines[0] = lines[0].replace(mark, f"{colour}{mark}{_PLAIN}", 1)
        # The message of an exception may hold what a stranger wrote.
        trace = plain_lines(fields["exception"]) if "exception" in fields else []
        return "\n".join([*lines, *trace])

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


def _one_or_two(start: str, said: str, advice: str) -> list[str]:
    if not advice:
        return [f"{start}{said}"]
    together = f"{start}{said} → {advice}"
    return [together] if len(together) <= _LONGEST else [f"{start}{said}", f"{' ' * len(start)}→ {advice}"]
