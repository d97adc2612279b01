"""Identifiers: UUIDs for resources, time-ordered ids for events."""

from __future__ import annotations

import os
import time
import uuid

NIL_UUID = "00000000-0000-0000-0000-000000000000"
"""What a UUID field holds when it has no value (contract, section 3)."""


def new_uuid() -> str:
    """A random UUID in its usual text form."""
    return str(uuid.uuid4())


def new_event_id() -> str:
    """`evt_` and 32 hexadecimal digits that sort by time: 48 bits of milliseconds, then 80 random ones."""
    return f"evt_{time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10)):032x}"


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in the canonical 36-character form."""
    if len(text) != 36:
        return False
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
