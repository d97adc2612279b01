"""Setting up the log: who reads it decides what it looks like.

Theory of operation. A program reads JSON, from info on (`log.level` and `log.format` at `auto`, where standard error is
no terminal). A person at a terminal gets lines made of words: one for each call that ended and one for each warning
(`lines`, `words`), and nothing else. A level that was asked for by name shows everything from there on, as structlog
writes it. Whatever a terminal is shown is without control characters, as strangers wrote some of it.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from offhook.logs.lines import ShortLines
from offhook.logs.text import plain, plain_lines

AUTO = "auto"
_DEFAULT = "info"
# Of whom a call was: a person at the terminal sees it pass by, what is collected would keep it.
_OF_PEOPLE = ("source", "destination_number")


def configure_logging(level: str, form: str) -> None:
    """Set up structlog, and let the libraries' own loggers through only from warnings on.

    `level` is a level's name or `auto`, `form` is `auto`, `console` or `json`.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    as_json = form == "json" or (form == AUTO and not is_terminal)
    number = logging.getLevelNamesMapping()[(_DEFAULT if level == AUTO else level).upper()]
    structlog.configure(
        processors=_short() if level == AUTO and is_terminal and not as_json else _whole(as_json=as_json),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # It tells of every stranger whose request is none; they are answered, and counted like any other.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # It shows a traceback for each session that was found lost when it was put aside: the store says so in a line.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(_Harmless("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])


def _short() -> list[Any]:
    lines = ShortLines(has_colours="NO_COLOR" not in os.environ)
    return [structlog.processors.add_log_level, lines.choose, structlog.processors.format_exc_info, lines.render]


def _whole(*, as_json: bool) -> list[Any]:
    processors: list[Any] = [
        _without_people,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_json:
        return [*processors, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The console's own way to show a traceback prints every local variable too, passwords and all.
    console = structlog.dev.ConsoleRenderer(pad_event_to=32, exception_formatter=_plain_traceback)
    return [*processors, _without_controls, console]


class _Harmless(logging.Formatter):
    """What a library logs, a traceback of several lines perhaps."""

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = super().format(record).split("\n")
        return "\n".join([plain(first), *plain_lines("\n".join(rest))]) if rest else plain(first)


def _plain_traceback(shown: TextIO, exc_info: Any) -> None:
    trace = io.StringIO()
    structlog.dev.plain_traceback(trace, exc_info)
    shown.write("\n" + "\n".join(plain_lines(trace.getvalue().lstrip("\n"))))


def _without_controls(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in fields.items():
        # What is no text is shown as Python writes it, with its control characters spelled out.
        if isinstance(value, str) and name != "stack":
            fields[name] = plain(value)
    return fields


def _without_people(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in _OF_PEOPLE:
        fields.pop(name, None)
    return fields
