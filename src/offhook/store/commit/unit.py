"""Units: an input and everything that it tells, decided in memory. Pure over the port `Rows`.

Theory of operation. A `Group` is what one transaction will write. It runs units one after another. Each unit works on
an overlay of its own, above the group's, above the database; one that is refused or fails is dropped with its overlay,
so that it leaves no trace and costs its neighbours nothing. A unit's tells are followed breadth first, so that a
row is told things in the order in which they were said. A cause is never later than its effect: a row is decided at
the teller's time, or its own last one if that is later.

What every noun would have to do alike is done here: inputs for rows that do not exist, or are final, are dropped;
the end of a command removes it from what is pending, and one that is not pending any more means nothing; a timer
counts only if the row still has it.

A decide that raises while the unit came from outside (`is_asked`) fails the unit. Otherwise nobody could be told, and
the input would be lost: the unit begins anew with the row that raised ended by its `broken` rule, as often as another
row raises. What raises in `broken` too fails the unit for good. A row that cannot be kept (`keeping`) is a fault of
its rule as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from offhook.domain.events.event import NewEvent
from offhook.domain.noun import Noun, Nouns
from offhook.domain.step import Begun, Broken, Delete, Due, Ended, Found, Lookup, Pending, Refusal, Step, Tell
from offhook.store.commit.keeping import encoded
from offhook.store.commit.port import Document, Hit, Order, Row, Rows, Unreadable, Write

R = TypeVar("R")

MAX_TELLS = 10_000
"""How much one unit may tell, lookups included."""
_MAX_BROKEN = 100

_Key = tuple[str, str]


class Unit(msgspec.Struct, frozen=True):
    """Inputs that are decided together or not at all.

    `at` is when they were heard (the switch), or now. `is_asked` says that somebody waits for the answer (REST); then
    `customer_id` is whose rows may be seen, if not anybody's.
    """

    tells: tuple[Tell, ...]
    at: datetime
    is_asked: bool = False
    customer_id: str = ""


class Fault(msgspec.Struct, frozen=True):
    """A rule that raised: to be logged and counted."""

    kind: str
    id: str
    input: str
    error: Exception


class Result(msgspec.Struct, frozen=True):
    """What became of a unit.

    `states` are those of the rows of its own tells, after it; None for one that does not exist. `refused` is the answer
    to whoever asked: the unit left no trace. So it did if `is_done` is false without it: a rule raised, and that could
    not be mended. `faults` may be there although it is done: those rows have been ended as failed.
    """

    is_done: bool
    states: tuple[Any, ...] = ()
    refused: Refusal | None = None
    faults: tuple[Fault, ...] = ()


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class _FaultError(Exception):
    """`key` is the row to blame, None if that would be one that does not exist."""

    def __init__(self, key: _Key | None, fault: Fault) -> None:
        self.key = key
        self.fault = fault


class Group:
    """What one transaction will write, as it is decided. For one try: a group that runs again is made anew."""

    def __init__(self, rows: Rows, nouns: Nouns) -> None:
        self.rows = rows
        self.nouns = nouns
        self.read: dict[_Key, Row | Unreadable | None] = {}
        self.changed: dict[_Key, Write] = {}
        self.events: list[NewEvent] = []
        """In the order in which they are to be told."""
        self.orders: list[Order] = []

    def run(self, unit: Unit) -> Result:
        """Decide a unit. Raises what the port raises; then the group is of no use any more."""
        broken: dict[_Key, Fault] = {}
        while True:
            attempt = _Attempt(self, unit)
            try:
                states = attempt.run(broken)
            except _RefusedError as refused:
                return Result(False, refused=refused.refusal)
            except _FaultError as found:
                faults = (*broken.values(), found.fault)
                if unit.is_asked or found.key is None or found.key in broken or len(broken) == _MAX_BROKEN:
                    return Result(False, faults=faults)
                broken[found.key] = found.fault
                continue
            self.changed.update(attempt.written)
            self.events += attempt.events
            self.orders += attempt.orders
            return Result(True, states, faults=tuple(broken.values()))

    def writes(self) -> list[Write]:
        """The rows that have changed, in the order in which they are to be written."""
        return [self.changed[key] for key in sorted(self.changed)]

    def get(self, key: _Key) -> Row | Unreadable | None:
        """The row as it is after the units so far."""
        changed = self.changed.get(key)
        if changed is not None:
            return changed.row
        if key not in self.read:
            self.read[key] = self.rows.get(*key)
        return self.read[key]


class _Said(msgspec.Struct, frozen=True):
    """A tell on its way. `teller` is None for one of the unit's own."""

    tell: Tell
    at: datetime
    teller: _Key | None

    @property
    def key(self) -> _Key:
        return self.tell.kind, self.tell.id


class _Attempt:
    """One run of one unit."""

    def __init__(self, group: Group, unit: Unit) -> None:
        self._group = group
        self._unit = unit
        self._customer_id = unit.customer_id
        self._queue: deque[_Said] = deque()
        self._makers: dict[_Key, _Key | None] = {}
        self._causes: dict[_Key, _Said] = {}
        self._count = 0
        self.changed: dict[_Key, Write] = {}
        self.written: dict[_Key, Write] = {}
        self.events: list[NewEvent] = []
        self.orders: list[Order] = []

    def run(self, broken: Mapping[_Key, Fault]) -> tuple[Any, ...]:
        """The states of the rows that the unit is about."""
        at = self._unit.at
        for key, fault in broken.items():
            self._queue.append(_Said(Tell(*key, Broken(repr(fault.error))), at, key))
        self._follow()
        self._queue.extend(_Said(tell, at, None) for tell in self._unit.tells)
        self._follow()
        self.written = {key: self._rule(self._causes[key], encoded, write) for key, write in self.changed.items()}
        rows = [self._get((tell.kind, tell.id)) for tell in self._unit.tells]
        return tuple(row.document.state if isinstance(row, Row) else None for row in rows)

    def _follow(self) -> None:
        while self._queue:
            said = self._queue.popleft()
            noun = self._group.nouns.get(said.tell.kind)
            if noun is None:
                raise self._fault(said, LookupError(f"no noun {said.tell.kind!r}"), said.teller)
            row = self._get(said.key)
            if isinstance(row, Row):
                self._take(noun, row, said)
            elif row is None and type(said.tell.input) in noun.creates:
                self._create(noun, said)
            elif isinstance(row, Unreadable) and self._unit.is_asked and said.teller is None:
                raise self._fault(said, ValueError("the row cannot be read"), said.teller)
            else:
                self._refuse(said, _missing(said.tell))

    def _create(self, noun: Noun[Any], said: _Said) -> None:
        self._makers[said.key] = said.teller
        step = self._rule(said, noun.decide, None, said.tell.input, said.at)
        document: Document[Any, Any] = Document(state=step.state, last_at=said.at)
        row = Row(*said.key, self._rule(said, noun.customer_of, step.state), 0, document, created_at=said.at)
        self._check_customer(row, said)
        self._absorb(noun, row, document, step, said)

    def _take(self, noun: Noun[Any], row: Row, said: _Said) -> None:
        told = said.tell.input
        if self._unit.customer_id and said.teller is None and row.customer_id != self._unit.customer_id:
            self._refuse(said, _missing(said.tell))
            return
        self._check_customer(row, said)
        if type(told) in noun.creates:
            self._refuse(said, _exists(said.tell))
            return
        if self._unit.is_asked and said.teller is None and not isinstance(told, Delete):
            self._check_shown(noun, row, said)
        heard = _heard(row.document, told)
        if heard is None:
            return
        if isinstance(told, Begun):
            self._keep(noun, replace(row, document=heard), said)
        elif self._rule(said, noun.is_final, heard.state) and not isinstance(told, Delete):
            if heard is not row.document:
                self._keep(noun, replace(row, document=heard), said)
            elif not isinstance(told, noun.forgives):
                self._refuse(said, _is_over(said.tell))
        else:
            said = replace(said, at=max(said.at, heard.last_at))
            rule = noun.broken if isinstance(told, Broken) else noun.decide
            self._absorb(noun, row, heard, self._rule(said, rule, heard.state, told, said.at), said)

    def _absorb(self, noun: Noun[Any], row: Row, heard: Document[Any, Any], step: Step[Any], said: _Said) -> None:
        """Take over what a decision gave. `heard` is what the input by itself made of the row."""
        while True:
            if step.refused is not None:
                self._refuse(said, step.refused)
                step = Step(heard.state)
            document = self._applied(noun, heard, step, said)
            if self._get(said.key) is None or not _is_same(document, row.document):
                row = replace(row, document=document)
                self._keep(noun, row, said)
            self._check_events(step, said)
            self.events += step.events
            self._queue.extend(_Said(tell, said.at, said.key) for tell in step.tells)
            self._count_tells(said, len(step.tells))
            if step.lookup is None:
                return
            self._count_tells(said, 1)
            heard = row.document
            step = self._rule(said, noun.decide, heard.state, Found(step.lookup, self._find(step.lookup)), said.at)

    def _applied(self, noun: Noun[Any], heard: Document[Any, Any], step: Step[Any], said: _Said) -> Document[Any, Any]:
        timers, pending = heard.timers, heard.pending
        if step.timers:
            timers = {name: at for name, at in {**timers, **step.timers}.items() if at is not None}
        if self._rule(said, noun.is_final, step.state):
            timers = {}
        for command in step.commands:
            if any(one.command.id == command.id for one in pending):
                raise self._fault(said, ValueError(f"the command {command.id} is pending already"), said.key)
            order = Order(*said.key, Pending(self._group.rows.number(), command))
            self.orders.append(order)
            pending = (*pending, order.pending)
        return Document(state=step.state, timers=timers, pending=pending, last_at=said.at)

    def _keep(self, noun: Noun[Any], row: Row, said: _Said) -> None:
        state = row.document.state
        is_final = self._rule(said, noun.is_final, state)
        webhook = self._rule(said, noun.own_webhook, state) if row.version == 0 else None
        entries = self._rule(said, places_of, noun, state)
        self.changed[said.key] = Write(row, is_final, lives=noun.lives, webhook=webhook, entries=entries)
        self._causes[said.key] = said

    def _get(self, key: _Key) -> Row | Unreadable | None:
        changed = self.changed.get(key)
        return self._group.get(key) if changed is None else changed.row

    def _find(self, lookup: Lookup) -> tuple[str, ...]:
        overlay = {**self._group.changed, **self.changed}
        changed = {row_id: write for (kind, row_id), write in overlay.items() if kind == lookup.kind}
        # What has changed is not in the database as it is now, and what has gone may have been among the first.
        kept = self._group.rows.find(replace(lookup, limit=lookup.limit + len(changed)))
        hits = [hit for hit in kept if hit.id not in changed]
        wanted = (lookup.name, lookup.key)
        hits += [
            Hit(rank, row_id)
            for row_id, write in changed.items()
            for *place, rank in write.entries
            if (*place,) == wanted
        ]
        return tuple(hit.id for hit in sorted(hits)[: lookup.limit])

    def _check_customer(self, row: Row, said: _Said) -> None:
        if not row.customer_id:
            return
        if self._customer_id and row.customer_id != self._customer_id:
            raise self._fault(said, PermissionError("the row is another customer's"), said.teller)
        self._customer_id = row.customer_id

    def _check_shown(self, noun: Noun[Any], row: Row, said: _Said) -> None:
        """What was deleted is not there for anybody who asks, although it may have to be ended yet."""
        if self._rule(said, noun.is_hidden, row.document.state):
            raise _RefusedError(_missing(said.tell))

    def _check_events(self, step: Step[Any], said: _Said) -> None:
        for event in step.events:
            if not self._group.rows.knows(event.customer_id):
                raise self._fault(said, LookupError(f"no customer {event.customer_id!r}"), said.key)

    def _count_tells(self, said: _Said, count: int) -> None:
        self._count += count
        if self._count > MAX_TELLS:
            raise self._fault(said, OverflowError(f"more than {MAX_TELLS} tells"), said.key)

    def _refuse(self, said: _Said, refusal: Refusal) -> None:
        """Only somebody who waits for an answer is refused; anything else is ignored."""
        if self._unit.is_asked and said.teller is None:
            raise _RefusedError(refusal)

    def _rule(self, said: _Said, rule: Callable[..., R], *arguments: Any) -> R:
        try:
            return rule(*arguments)
        except Exception as error:
            raise self._fault(said, error, said.key) from error

    def _fault(self, said: _Said, error: Exception, blamed: _Key | None) -> _FaultError:
        # What this unit itself made is not there when it begins anew: whoever made it is to blame.
        while blamed is not None and blamed in self._makers:
            blamed = self._makers[blamed]
        return _FaultError(blamed, Fault(*said.key, type(said.tell.input).__name__, error))


def places_of(noun: Noun[Any], state: Any) -> tuple[tuple[str, str, int], ...]:
    """Where a state stands in its noun's indexes, as (index, key, rank): nowhere once it is final."""
    if not noun.indexes or noun.is_final(state):
        return ()
    return tuple((name, *entry) for name, index in noun.indexes.items() for entry in index(state))


def _heard(document: Document[Any, Any], told: Any) -> Document[Any, Any] | None:
    """What an input by itself makes of a row, whatever the noun; None if it means nothing any more."""
    match told:
        case Begun(command_id=command_id):
            marked = [replace(one, begun=True) if one.command.id == command_id else one for one in document.pending]
            return None if tuple(marked) == document.pending else replace(document, pending=tuple(marked))
        case Ended(command=command):
            left = tuple(one for one in document.pending if one.command.id != command.id)
            return None if left == document.pending else replace(document, pending=left)
        case Due(name=name, at=at):
            if document.timers.get(name) != at:
                return None
            return replace(document, timers={key: due for key, due in document.timers.items() if key != name})
        case _:
            return document


def _is_same(one: Document[Any, Any], other: Document[Any, Any]) -> bool:
    return one.pending == other.pending and one.timers == other.timers and one.state == other.state


def _missing(tell: Tell) -> Refusal:
    return Refusal(404, f"{tell.kind.upper()}_NOT_FOUND", f"There is no {tell.kind} {tell.id}.", "id")


def _exists(tell: Tell) -> Refusal:
    return Refusal(409, "ALREADY_EXISTS", f"There is a {tell.kind} {tell.id} already.", "id")


def _is_over(tell: Tell) -> Refusal:
    return Refusal(409, "STATE_INVALID", f"The {tell.kind} {tell.id} is over.")
