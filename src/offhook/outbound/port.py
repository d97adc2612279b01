"""The port of this room: one HTTP attempt to a stranger goes in, what it came to comes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol, Self

import msgspec

from offhook.domain.delivery.outcome import Outcome

MAX_KEPT_BYTES = 4_096
"""Of a response body this much is kept (contract, section 4)."""


class HeaderFields(msgspec.Struct, frozen=True):
    """Header fields as they go on the wire: `lines` has one line for each, and they are `count`.

    Whoever sends the same ones again and again writes most of the lines once.
    """

    lines: str
    count: int

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self:
        """These, in their order."""
        return cls("".join([f"{name}: {value}\r\n" for name, value in headers.items()]), len(headers))

    def check(self) -> None:
        """Raises ValueError if a value ends its line early, and could pass for more fields than there are."""
        lines, count = self.lines, self.count
        if lines.count("\n") != count or lines.count("\r") != count or "\0" in lines:
            raise ValueError("a header holds a line break")

    def as_dict(self) -> dict[str, str]:
        """By name, as they were given."""
        fields = (line.partition(": ") for line in self.lines.split("\r\n") if line)
        return {name: value for name, _, value in fields}


class OutgoingRequest(msgspec.Struct, frozen=True):
    """What to send: an absolute http or https `uri`, sent as it is given, and headers sent exactly.

    `kept_bytes` is how much of the answer's body is kept.
    """

    method: str
    uri: str
    headers: HeaderFields
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
