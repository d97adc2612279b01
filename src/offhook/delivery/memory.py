"""How much of the backlog may be in memory: what is beyond stays in the database until there is room."""

from __future__ import annotations

import msgspec

_MIB = 1024 * 1024


class MemoryLimits(msgspec.Struct, frozen=True):
    """Bounds of what the engine holds, in deliveries and in bytes of their payloads.

    `lane` bounds what waits of one subject, `window` what is held of one destination, `total` what is held of all.
    A destination may hold `floor` deliveries however full the node is, and no more than that while it is probed.
    `chunk` is what one read of the backlog brings; `parked` bounds what waits for a retry and holds its subject.
    """

    lane: int = 100
    window: int = 1_000
    window_bytes: int = 8 * _MIB
    total: int = 20_000
    total_bytes: int = 64 * _MIB
    floor: int = 16
    chunk: int = 200
    chunk_bytes: int = 4 * _MIB
    parked: int = 20_000


class Held:
    """What all destinations hold together."""

    __slots__ = ("byte_count", "count")

    def __init__(self) -> None:
        self.count = 0
        self.byte_count = 0
