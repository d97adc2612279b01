"""Points in time: aware UTC datetimes inside, microseconds in the database, RFC 3339 on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def rfc3339(at: datetime) -> str:
    """`2026-05-02T09:00:04.9Z`: UTC, at most six fraction digits, trailing zeros trimmed (facts, section 2.4)."""
    text = at.astimezone(UTC).isoformat()[: -len("+00:00")]
    return (text.rstrip("0") if at.microsecond else text) + "Z"


def to_us(at: datetime) -> int:
    """Microseconds since 1970, what the database keeps."""
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of `us` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def rfc3339_or_none(us: int | None) -> str | None:
    """The wire form of a database time; "not yet" is null."""
    return None if us is None else rfc3339(from_us(us))
