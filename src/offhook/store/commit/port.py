"""What the pure algorithm (`unit`) needs of the database, and what it gives back to be written.

The port is small so that whole cascades run without a database. Whoever implements it (`rows`) reads inside the group's
transaction, locks nothing, and never sees what the group has decided so far: that is the algorithm's overlay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from offhook.domain.noun import OwnWebhook
from offhook.domain.step import Lookup, Pending

S = TypeVar("S")
C = TypeVar("C")


class Document(msgspec.Struct, Generic[S, C], frozen=True, kw_only=True):
    """All that is kept of a row, as it is encoded: `Document[CallState, SwitchCommand]` decodes it.

    `timers` are due times by name, `pending` commands whose end is not known, lowest number first. `last_at` is when
    the row was last decided to a change: no later decision is made at an earlier time.
    """

    state: S
    timers: Mapping[str, datetime] = {}
    pending: tuple[Pending[C], ...] = ()
    last_at: datetime


class Row(msgspec.Struct, frozen=True):
    """A row as it was read, or as it has become. `version` is the one that was read; 0 for a row that is new, which
    was made at `created_at`."""

    kind: str
    id: str
    customer_id: str
    version: int
    document: Document[Any, Any]
    created_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """The earliest of its timers: the column `due_at`."""
        return min(self.document.timers.values(), default=None)


class Unreadable(msgspec.Struct, frozen=True):
    """A row that is there and cannot be decoded. It is told nothing and never overwritten."""


class Hit(NamedTuple):
    """A row in an index. Those of equal rank are in the order of their ids."""

    rank: int
    id: str


class Rows(Protocol):
    """The database as it was before the group. Whatever it raises fails the whole group, and is no fault of a rule."""

    def get(self, kind: str, row_id: str) -> Row | Unreadable | None:
        """The row, or None if there is none. The algorithm asks once per group."""
        ...

    def find(self, lookup: Lookup) -> Sequence[Hit]:
        """The first `lookup.limit` rows that stand in that index under that key (`Noun.indexes`), in order."""
        ...

    def number(self) -> int:
        """The next number of a command: higher than every one before, also before a restart. Gaps do no harm."""
        ...

    def knows(self, customer_id: str) -> bool:
        """Whether there is such a customer: an event of any other cannot be written."""
        ...


class Write(msgspec.Struct, frozen=True):
    """A row to be written: inserted with version 1 if `row.version` is 0, else updated to `row.version + 1` where the
    version is still `row.version` (no such row: the group runs again).

    `webhook` is to be made with a row that is inserted. `entries` are all its places in indexes, as (index, key, rank),
    `document` the bytes of `row.document`, once its unit has succeeded.
    """

    row: Row
    is_final: bool
    lives: bool = True
    webhook: OwnWebhook | None = None
    entries: tuple[tuple[str, str, int], ...] = ()
    document: bytes = b""

    @property
    def is_open(self) -> bool:
        """Whether a start has to take it up: it lives on, or has commands whose end is not known."""
        return (self.lives and not self.is_final) or bool(self.row.document.pending)


class Order(msgspec.Struct, frozen=True):
    """A command that the group commits: for the lanes, once it is durable."""

    kind: str
    id: str
    pending: Pending[Any]
