"""What may be asked to be sent again: a stretch of the log, from a cursor or a moment on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from offhook.domain.catalogue import EVENT_TYPES
from offhook.domain.errors import InvalidError
from offhook.domain.events.cursor import read_cursor
from offhook.domain.texts import checked_text
from offhook.domain.times import to_us

Only = Literal["failed", "all"]


class Replay(msgspec.Struct, frozen=True):
    """Which events to send again: beyond a position or since a time (one of both), `failed` ones or all."""

    after: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    types: tuple[str, ...] = ()
    only: Only = "failed"


def checked_replay(
    *, after: int | str | None, since: str | None, until: str | None, types: Sequence[str], only: Only
) -> Replay:
    """What a person or a program wrote: `after` a cursor, `since` and `until` RFC 3339 with a zone.

    Raises InvalidError naming the field.
    """
    if (after is None) == (since is None):
        raise InvalidError("Give one of after (a cursor) and since (a time).", field="after")
    if len(types) > len(EVENT_TYPES) * 10:
        raise InvalidError("types has too many entries.", field="types")
    for name in types:
        checked_text("types", name)
    return Replay(
        after=None if after is None else read_cursor(str(after)),
        since_us=_moment_us("since", since),
        until_us=_moment_us("until", until),
        types=tuple(types),
        only=only,
    )


def _moment_us(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return to_us(moment)
    except (ValueError, OverflowError):
        raise InvalidError(f"{name} is a time such as 2026-05-02T09:00:00Z.", field=name) from None
