"""A place in a customer's event log, as its readers keep it: `<epoch>.<position>` (contract, section 7).

The epoch is another one after a backup was restored: positions given out since the backup then mean other events. A
bare position is accepted too, and is of whatever epoch there is.
"""

from __future__ import annotations

import re

from offhook.domain.errors import ConflictError, InvalidError

EPOCH = 1
"""The epoch of every log, until restoring a backup begins a new one."""

_CURSOR = re.compile(r"(?:([0-9]{1,9})\.)?([0-9]{1,18})")


def cursor_text(position: int, epoch: int = EPOCH) -> str:
    """The cursor of everything after `position`."""
    return f"{epoch}.{position}"


def read_cursor(text: str, *, epoch: int = EPOCH, reason: str = "INVALID_ARGUMENT", field: str = "after") -> int:
    """The position that a cursor names. `reason` is of its being none: a query parameter has another than a field.

    Raises InvalidError (`field`) for what is no cursor, ConflictError for one of another epoch.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InvalidError(
            f"{field} is a cursor that GET /v1.0/events gave out as next_cursor, or a position: 0 or more.",
            reason=reason,
            field=field,
        )
    if found[1] is not None and int(found[1]) != epoch:
        raise ConflictError(
            f"The cursor {text} is of epoch {int(found[1])}, and this log of epoch {epoch}: a backup was restored in "
            "between, and what came after the backup is not in it. Ask again with after=0, or with the position of "
            "the last event that you know to be in it.",
            reason="CURSOR_OF_ANOTHER_EPOCH",
            field=field,
        )
    return int(found[2])


def check_reached(position: int, newest: int, *, epoch: int = EPOCH) -> None:
    """Raises ConflictError for a position that the log has not reached: nothing may be skipped in silence."""
    if position > newest:
        raise ConflictError(
            f"The cursor is at position {position}, and the newest event of this customer at {newest}. It is another "
            f"customer's, or of a database that was put back. Ask again with after={cursor_text(newest, epoch)} for "
            "what comes from now on, or with after=0 for everything that is kept.",
            reason="CURSOR_BEYOND_END",
            field="after",
        )
