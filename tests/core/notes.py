"""A noun that does whatever its input says: for what the generic code does, whatever the noun."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from offhook.domain.events.event import NewEvent
from offhook.domain.noun import Entry, Noun, registry
from offhook.domain.step import Broken, Command, Delete, Policy, Step, Tell
from tests.core.machine import Machine

CUSTOMER, OTHER = "customer", "another customer"


class Note(msgspec.Struct, frozen=True):
    """`text` grows; it is over once `is_over`, and hidden once `is_hidden`."""

    customer_id: str = CUSTOMER
    text: str = ""
    is_over: bool = False
    is_hidden: bool = False


Act = Callable[[Note, datetime], Step[Note]]


class Make(msgspec.Struct, frozen=True):
    """Makes a note."""

    customer_id: str = CUSTOMER
    tells: tuple[Tell, ...] = ()
    raises: bool = False


class Do(msgspec.Struct, frozen=True):
    """Decides so."""

    act: Act


class Shrug(msgspec.Struct, frozen=True):
    """Means nothing, and is forgiven a note that is over."""


class Knock(Command, frozen=True, kw_only=True, tag_field="kind", tag="knock"):
    """A command."""

    policy: ClassVar[Policy] = Policy.AGAIN

    @property
    def lane(self) -> str:
        return "door"


class RuleError(Exception):
    """A fault of a rule's."""


def _decide(state: Note | None, told: Any, now: datetime) -> Step[Note]:
    if state is None:
        if told.raises:
            raise RuleError
        return Step(Note(told.customer_id), tells=told.tells)
    match told:
        case Do(act=act):
            return act(state, now)
        case Delete():
            return Step(msgspec.structs.replace(state, is_hidden=True), (event("deleted"),))
        case Shrug():
            return Step(state)
        case _:
            return Step(msgspec.structs.replace(state, text=state.text + type(told).__name__ + " "))


def _broken(state: Note, told: Broken, now: datetime) -> Step[Note]:
    if state.text == "unbreakable":
        raise RuleError
    tells = (to("c", writes("last")),) if state.text == "tells" else ()
    return Step(msgspec.structs.replace(state, text="failed", is_over=True), (event("failed"),), tells=tells)


NOTE: Noun[Note] = Noun(
    kind="note",
    state_type=Note,
    decide=_decide,
    is_final=lambda state: state.is_over,
    broken=_broken,
    customer_of=lambda state: state.customer_id,
    creates=(Make,),
    forgives=(Shrug,),
    indexes={"text": lambda state: (Entry(state.text[:50]),)},
)


def event(text: str) -> NewEvent:
    return NewEvent(CUSTOMER, f"note_{text}", "note/1", b'{"type":"note_' + text.encode() + b'","data":{}}')


def writes(text: str, *tells: Tell, **rest: Any) -> Do:
    """Add to the text, with an event."""

    def act(state: Note, now: datetime) -> Step[Note]:
        changed = msgspec.structs.replace(state, text=state.text + text)
        return Step(changed, (event(text),), tells=tells, **rest)

    return Do(act)


def raises(state: Note, now: datetime) -> Step[Note]:
    raise RuleError


def to(row_id: str, told: Any) -> Tell:
    return Tell("note", row_id, told)


class Notes(Machine):
    """Notes `a`, `b` and `c` of one customer, `x` of another."""

    def __init__(self) -> None:
        super().__init__(registry(NOTE), Knock)
        for row_id in "abc":
            self.tell("note", row_id, Make())
        self.tell("note", "x", Make(OTHER))

    def text(self, row_id: str) -> str:
        found: str = self.state("note", row_id).text
        return found
