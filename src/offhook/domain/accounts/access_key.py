"""Access keys: credentials for programs. Nothing here knows the secret itself."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from offhook.domain.errors import ConflictError, InvalidError
from offhook.domain.times import to_us

SHORTEST_EXPIRE_S = 86_400
_YEAR_S = 365 * SHORTEST_EXPIRE_S
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_CALENDAR_S = 10_000 * _YEAR_S


class AccessKey(msgspec.Struct, frozen=True):
    """A key as it is now. Points in time are microseconds since 1970; `token_prefix` is how its secret begins."""

    id: str
    customer_id: str
    name: str
    detail: str
    token_prefix: str
    expire_us: int | None
    created_us: int
    updated_us: int | None
    deleted_us: int | None


class NewAccessKey(msgspec.Struct, frozen=True):
    """A key in the making; `token_hash` is all that is kept of its secret."""

    name: str
    detail: str
    token_prefix: str
    token_hash: str
    expire_us: int


def check_is_there(key: AccessKey) -> None:
    """Raises ConflictError if the key is deleted."""
    if key.deleted_us is not None:
        raise ConflictError("The access key is deleted already.", field="id")


def expiry_us(lifetime_s: float | None, now: datetime) -> int:
    """When a key that is made at `now` ends; a year later if nothing is given. Raises InvalidError (expire)."""
    given_s = _YEAR_S if lifetime_s is None else lifetime_s
    if given_s < SHORTEST_EXPIRE_S or given_s % 1:
        raise InvalidError(
            f"expire is the key's lifetime in whole seconds, at least {SHORTEST_EXPIRE_S} (a day).", field="expire"
        )
    # A lifetime may be given that no date, and no float, can hold: it ends with the calendar.
    end_s = now.timestamp() + min(given_s, _CALENDAR_S)
    return to_us(datetime.fromtimestamp(min(end_s, _LAST_MOMENT.timestamp()), UTC))
