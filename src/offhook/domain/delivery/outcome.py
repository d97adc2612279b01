"""What one attempt came to: the outcome's name, from the answer's status, and the wait a receiver asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

MAX_RETRY_AFTER = timedelta(hours=1)
"""The longest wait a receiver may ask for (contract, section 4)."""


class Outcome(StrEnum):
    """How an attempt ended; everything but `succeeded` counts as a failure."""

    SUCCEEDED = "succeeded"
    REDIRECT = "redirect"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    THROTTLED = "throttled"
    GONE = "gone"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_TLS = "timeout_tls"
    TIMEOUT_RESPONSE = "timeout_response"
    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    MALFORMED = "malformed"
    BLOCKED = "blocked"


def outcome_of_status(status: int, *, has_retry_after: bool) -> Outcome:
    """The outcome of a complete response head.

    `has_retry_after` tells whether the head asked for a wait we understand; it makes a 503 `throttled`. A final
    1xx (101 included) or a status outside 200-599 is `malformed` (RFC 9110, section 15).
    """
    if 200 <= status < 300:
        return Outcome.SUCCEEDED
    if 300 <= status < 400:
        return Outcome.REDIRECT
    if status == 410:
        return Outcome.GONE
    if status == 429 or (status == 503 and has_retry_after):
        return Outcome.THROTTLED
    if 400 <= status < 500:
        return Outcome.CLIENT_ERROR
    if 500 <= status < 600:
        return Outcome.SERVER_ERROR
    return Outcome.MALFORMED


def parse_retry_after(value: str, now: datetime) -> timedelta | None:
    """The wait a `Retry-After` field asks for, between zero and one hour; None if it cannot be understood.

    Either delta-seconds or an HTTP date in any of its three forms (RFC 9110, sections 10.2.3 and 5.6.7). A date
    that has passed means no wait. `now` is aware.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return _capped_seconds(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except OverflowError:
        return None
    return min(max(wait, timedelta()), MAX_RETRY_AFTER)


def _capped_seconds(digits: str) -> timedelta:
    significant = digits.lstrip("0")
    # A stranger may send thousands of digits; more than four are over the cap without being counted.
    if len(significant) > 4:
        return MAX_RETRY_AFTER
    return min(timedelta(seconds=int(significant or "0")), MAX_RETRY_AFTER)
