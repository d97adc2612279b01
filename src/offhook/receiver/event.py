"""The event that a verified webhook brings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event, as one attempt brought it.

    `id`, `type`, `data` and `timestamp` are covered by the signature. The last four come from headers that
    are not: use them for order and for noticing gaps, never to decide what somebody may do. They are
    None when the sender left them out.
    """

    id: str
    """The same on every attempt: what to recognise a duplicate by."""
    type: str
    """Such as `call_hungup`; ignore the types you do not know."""
    data: dict[str, Any]
    timestamp: datetime
    """When this attempt was signed, not when the event happened (that is in `data`). Aware, UTC."""
    attempt: int | None = None
    """1 for the first attempt, 2 for the first retry …"""
    subject: str | None = None
    """What the event is about, such as `call/<uuid>`."""
    sequence: int | None = None
    """1, 2, 3 … per subject."""
    position: int | None = None
    """1, 2, 3 … over all events of the customer; also the cursor of `GET /v1.0/events`."""
