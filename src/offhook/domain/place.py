"""A place in a list that is read newest first, page by page, and its text as clients keep it (facts, section 2.3).

A page token is the `tm_create` of the last row, in its fixed form with six fraction digits; rows made in the same
microsecond are told apart by a number behind it. A client that makes it of a `tm_create` it was shown, whose trailing
zeros are trimmed (or all of them, with the dot), means the same moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from offhook.domain.errors import InvalidError
from offhook.domain.times import from_us, to_us

_TOKEN = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z(?:\.(\d{1,18}))?", re.ASCII)


class Place(msgspec.Struct, frozen=True):
    """A row: when it was created (microseconds since 1970), and its key among those of that moment."""

    created_us: int
    key: int


def place_token(place: Place | None) -> str:
    """The token of what comes after a place; empty if there is none."""
    return "" if place is None else f"{from_us(place.created_us):%Y-%m-%dT%H:%M:%S.%f}Z.{place.key}"


def read_place(token: str) -> Place | None:
    """The place that a token stands for; None for the beginning. Raises InvalidError (page_token)."""
    if not token:
        return None
    found = _TOKEN.fullmatch(token)
    if found:
        try:
            second = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
            return Place(to_us(second) + int((found[2] or "").ljust(6, "0")), int(found[3] or 0))
        except ValueError:
            pass
    raise foreign_token()


def foreign_token() -> InvalidError:
    """For a token that the list cannot have given out."""
    return InvalidError(
        "page_token is not one that this list gave out.", reason="INVALID_REQUEST_PARAMETER", field="page_token"
    )
