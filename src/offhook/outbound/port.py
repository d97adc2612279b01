"""The port of this room: one HTTP attempt to a stranger goes in, what it came to comes out."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import msgspec

from offhook.domain.delivery.outcome import Outcome

MAX_KEPT_BYTES = 4_096
"""Of a response body this much is kept (contract, section 4)."""


class OutgoingRequest(msgspec.Struct, frozen=True):
    """What to send: an absolute http or https `uri`, sent as it is given, and headers sent exactly.

    `kept_bytes` is how much of the answer's body is kept.
    """

    method: str
    uri: str
    headers: dict[str, str]
    body: bytes
    kept_bytes: int = MAX_KEPT_BYTES


class AttemptResult(msgspec.Struct, frozen=True):
    """What one attempt came to.

    `status_code` is None if no response head came. `latency_ms` runs to the head, or to the failure. `response` is
    the body's start as it came, still encoded, as much as was to be kept; `is_whole`: there was no more. `retry_after`
    is what a failing receiver asked for. `detail` is a short reason for people where no answer came, and empty where
    one did; neither secrets, nor the uri's path and query, nor anything that the receiver sent are in it.
    """

    outcome: Outcome
    status_code: int | None
    latency_ms: int
    response: bytes
    retry_after: timedelta | None
    detail: str
    is_whole: bool = False


class Sender(Protocol):
    """Makes attempts. One sender serves all destinations at once."""

    async def send(self, request: OutgoingRequest) -> AttemptResult:
        """Make one attempt within the deadline. Raises nothing but CancelledError, which leaves no connection."""
        ...

    async def close(self) -> None:
        """Close every connection. Nothing may be sent afterwards; closing twice is harmless."""
        ...
