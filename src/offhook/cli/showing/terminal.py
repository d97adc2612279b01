"""How things are shown on a terminal: local times with their zone, blocks of lines that fit, words for attempts.

What strangers wrote (subjects, numbers, receivers' answers) is shown without what could steer the terminal.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click

from offhook.domain.delivery.outcome_words import words_of
from offhook.logs.text import plain as plain

_WIDTH = 80
_NARROWEST = 40
_MAX_RESPONSE = 300
_COLOURS = {"succeeded": "green", "pending": "yellow", "held": "yellow", "exhausted": "red"}


def local_time(text: str | None) -> str:
    """`2026-05-02 11:00:04 CEST`: a time of the API's, as the clock on the wall has it; "-" for one not yet there."""
    return "-" if text is None else f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def coloured(word: str) -> str:
    """A status in its colour, where there is a terminal."""
    return click.style(word, fg=_COLOURS.get(word))


def show_block(heading: str, details: Iterable[str], indent: int) -> None:
    """A line, and below it what belongs to it; details are folded to the terminal's width, never within a word."""
    click.echo(heading)
    width = terminal_width()
    for detail in details:
        if detail:
            for line in _folded(plain(detail), width - indent):
                click.echo(" " * indent + line)


def terminal_width() -> int:
    """In columns; 80 where there is no terminal."""
    return max(shutil.get_terminal_size((_WIDTH, 24)).columns, _NARROWEST)


def show_payload(value: object) -> None:
    """JSON over as many lines as it takes."""
    for line in json.dumps(value, indent=2, ensure_ascii=False).splitlines():
        click.echo("  " + plain(line))


def show_event(event: Mapping[str, Any]) -> None:
    """One event of a list: position, time and id; type and subject."""
    show_block(
        f"{event['position']:>6}  {local_time(event['tm_create'])}  {plain(event['id'])}",
        [f"{plain(event['type']):<21}  {plain(event['subject'])}"],
        indent=8,
    )


def show_delivery(delivery: Mapping[str, Any]) -> None:
    """One delivery of a list: when, of what, what became of it or it waits for, and when it is tried again."""
    show_block(
        f"{local_time(delivery['tm_create'])}  {plain(delivery['event_type']):<21}  {_standing(delivery)}",
        [delivery["subject"], delivery["event_id"], delivery["uri"], _progress(delivery)],
        indent=4,
    )


def show_attempt(attempt: Mapping[str, Any], *, with_advice: bool) -> None:
    """One attempt: what it came to, in a sentence, what the receiver said, and what to do if it failed."""
    words = words_of(attempt["outcome"], attempt["status_code"], attempt["detail"])
    response = plain(" ".join(attempt["response"].split()))
    answer = f"{response[:_MAX_RESPONSE]}…" if len(response) > _MAX_RESPONSE else response
    show_block(
        f"{attempt['number']:>4}  {local_time(attempt['tm_start'])}  {attempt['outcome']}, {attempt['latency_ms']} ms",
        [words.sentence, f"It said: {answer}" if answer else "", f"→ {words.advice}" if with_advice else ""],
        indent=6,
    )


def _standing(delivery: Mapping[str, Any]) -> str:
    """`pending, behind 41` (the position of the event that goes first), `held: gone`, or the status alone."""
    status = coloured(delivery["status"])
    if delivery["held_reason"]:
        return f"{status}: {plain(delivery['held_reason'])}"
    return status if delivery["behind"] is None else f"{status}, behind {delivery['behind']}"


def _progress(delivery: Mapping[str, Any]) -> str:
    """What the last attempt came to, how long it took, and when the next one is."""
    count = delivery["attempt_count"]
    waits = delivery["tm_next_attempt"] is not None
    if not count:
        return "Not tried yet." if waits else ""
    words = words_of(delivery["last_outcome"], delivery["last_status_code"], delivery["last_detail"])
    took = "" if delivery["last_latency_ms"] is None else f", {delivery['last_latency_ms']} ms"
    again = f" Next try: {local_time(delivery['tm_next_attempt'])}." if waits else ""
    return f"Try {count}, {delivery['last_outcome']}{took}: {words.sentence}{again}"


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
