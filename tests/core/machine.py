"""The core without a database and a switch: rows in memory, kept as the bytes that a database would keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from offhook.domain.noun import Nouns
from offhook.domain.step import Begun, Due, Ended, Lookup, Outcome, Tell
from offhook.store.commit.port import Document, Hit, Order, Row, Unreadable
from offhook.store.commit.unit import Group, Result, Unit

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
Key = tuple[str, str]


class MemoryRows:
    """A database of two dictionaries. `command_type` is the union that rows may have pending."""

    def __init__(self, nouns: Nouns, command_type: Any) -> None:
        self._documents = {kind: msgspec.json.Decoder(_document(noun, command_type)) for kind, noun in nouns.items()}
        self.kept: dict[Key, tuple[str, int, bytes]] = {}
        self.entries: dict[Key, tuple[tuple[str, str, int], ...]] = {}
        self.open: set[Key] = set()
        self.unreadable: set[Key] = set()
        self.last_number = 0
        self.read_count = 0

    def get(self, kind: str, row_id: str) -> Row | Unreadable | None:
        self.read_count += 1
        if (kind, row_id) in self.unreadable:
            return Unreadable()
        kept = self.kept.get((kind, row_id))
        if kept is None:
            return None
        customer_id, version, document = kept
        return Row(kind, row_id, customer_id, version, self._documents[kind].decode(document))

    def find(self, lookup: Lookup) -> Sequence[Hit]:
        hits = [
            Hit(rank, row_id)
            for (kind, row_id), entries in self.entries.items()
            for name, key, rank in entries
            if (kind, name, key) == (lookup.kind, lookup.name, lookup.key)
        ]
        return sorted(hits)[: lookup.limit]

    def number(self) -> int:
        self.last_number += 1
        return self.last_number

    def knows(self, customer_id: str) -> bool:
        return True

    def commit(self, group: Group) -> None:
        """Write what the group has decided, and check that nobody wrote in between."""
        for write in group.writes():
            row, key = write.row, (write.row.kind, write.row.id)
            assert self.kept.get(key, ("", 0, b""))[1] == row.version
            self.kept[key] = (row.customer_id, row.version + 1, msgspec.json.encode(row.document))
            self.entries[key] = write.entries
            (self.open.add if write.is_open else self.open.discard)(key)
            decoded = self.get(*key)
            assert isinstance(decoded, Row)
            assert decoded.document == row.document


def _document(noun: Any, command_type: Any) -> Any:
    return Document[noun.state_type, command_type]


class Machine:
    """Units in, what they caused out. Time stands still but for `wait`."""

    def __init__(self, nouns: Nouns, command_type: Any) -> None:
        self.nouns = nouns
        self.rows = MemoryRows(nouns, command_type)
        self.now = START
        self.events: list[tuple[str, str, dict[str, Any]]] = []  # type, subject, data
        self.orders: list[Order] = []
        self.results: list[Result] = []

    def group(self, *units: Unit) -> list[Result]:
        """Run units in one transaction, and commit."""
        group = Group(self.rows, self.nouns)
        results = [group.run(unit) for unit in units]
        self.rows.commit(group)
        for event in group.events:
            envelope = msgspec.json.decode(event.payload)
            assert envelope["type"] == event.type
            self.events.append((event.type, event.subject, envelope["data"]))
        self.orders += group.orders
        self.results += results
        return results

    def unit(self, *tells: Tell, is_asked: bool = False, customer_id: str = "") -> Unit:
        return Unit(tells, self.now, is_asked, customer_id)

    def tell(self, kind: str, row_id: str, told: Any) -> Result:
        """Something that nobody waits for."""
        return self.group(self.unit(Tell(kind, row_id, told)))[0]

    def ask(self, kind: str, row_id: str, told: Any, customer_id: str = "") -> Result:
        """As REST does."""
        return self.group(self.unit(Tell(kind, row_id, told), is_asked=True, customer_id=customer_id))[0]

    def document(self, kind: str, row_id: str) -> Document[Any, Any]:
        row = self.rows.get(kind, row_id)
        assert isinstance(row, Row), (kind, row_id)
        return row.document

    def state(self, kind: str, row_id: str) -> Any:
        return self.document(kind, row_id).state

    def pending(self) -> list[Order]:
        """Every command whose end is not known, in order."""
        found = [Order(*key, one) for key in self.rows.open for one in self.document(*key).pending]
        return sorted(found, key=lambda order: order.pending.number)

    def timers(self) -> list[tuple[datetime, Key, str]]:
        """Every timer there is, the earliest first."""
        return sorted((at, key, name) for key in self.rows.open for name, at in self.document(*key).timers.items())

    def begun(self, order: Order) -> None:
        self.tell(order.kind, order.id, Begun(order.pending.command.id))

    def ended(self, order: Order, outcome: Outcome) -> Result:
        return self.tell(order.kind, order.id, Ended(order.pending.command, outcome))

    def wait(self, span: timedelta) -> None:
        """Let time pass; timers that come due on the way are told when they are."""
        until = self.now + span
        for _ in range(10_000):
            due = next((timer for timer in self.timers() if timer[0] <= until), None)
            if due is None:
                self.now = until
                return
            at, key, name = due
            self.now = max(self.now, at)
            self.tell(*key, Due(name, at))
        raise AssertionError("timers without an end")

    def types(self, subject: str = "") -> list[str]:
        """The types of the events so far, of one subject or kind of subject, or of all."""
        return [type_ for type_, about, _ in self.events if about.startswith(subject)]

    def shown(self, subject: str, *fields: str) -> list[tuple[Any, ...]]:
        """What the events of a subject said, field by field."""
        return [
            (type_, *(data[field] for field in fields))
            for type_, about, data in self.events
            if about.startswith(subject)
        ]


def commands(orders: Iterable[Order]) -> list[Any]:
    return [order.pending.command for order in orders]
