"""A noun that notes what it is told, and commands of every policy: for what the runner does, whatever the noun."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from offhook.domain.events.event import NewEvent
from offhook.domain.noun import Noun, registry
from offhook.domain.step import Broken, Command, Due, Ended, Policy, Refusal, Step, Tell

CUSTOMER = "customer"


class Job(msgspec.Struct, frozen=True):
    """`notes` is what it was told, in order."""

    customer_id: str
    notes: tuple[str, ...] = ()
    is_over: bool = False
    is_unbreakable: bool = False


class Make(msgspec.Struct, frozen=True):
    """Makes a job."""

    customer_id: str = CUSTOMER
    is_unbreakable: bool = False


class Note(msgspec.Struct, frozen=True):
    """Is noted, with commands and timers."""

    text: str
    commands: tuple[Command, ...] = ()
    timers: dict[str, datetime | None] = {}
    tells: tuple[Tell, ...] = ()
    ends: bool = False


class Refuse(msgspec.Struct, frozen=True):
    """Is refused so."""

    refusal: Refusal


class Raise(msgspec.Struct, frozen=True):
    """A rule raises."""


class RuleError(Exception):
    """A fault of a rule's."""


class ToDoor(Command, frozen=True, kw_only=True, tag_field="kind"):
    """A command; `place` names the lane."""

    place: str = "door/1"

    @property
    def lane(self) -> str:
        return self.place


class Again(ToDoor, frozen=True, kw_only=True, tag="again"):
    """May be repeated."""

    policy = Policy.AGAIN
    patience: ClassVar[timedelta | None] = timedelta(seconds=0.1)


class Look(ToDoor, frozen=True, kw_only=True, tag="look"):
    """Is looked for."""

    policy = Policy.LOOK
    patience: ClassVar[timedelta | None] = timedelta(seconds=0.1)


class Mark(ToDoor, frozen=True, kw_only=True, tag="mark"):
    """Is marked, and sent once."""

    policy = Policy.MARK
    patience: ClassVar[timedelta | None] = timedelta(seconds=0.1)


class End(ToDoor, frozen=True, kw_only=True, tag="end"):
    """Makes the others pointless."""

    policy = Policy.AGAIN
    patience: ClassVar[timedelta | None] = None
    supersedes = True


class Tidy(ToDoor, frozen=True, kw_only=True, tag="tidy"):
    """Is never pointless."""

    policy = Policy.AGAIN
    patience: ClassVar[timedelta | None] = timedelta(seconds=0.1)
    tidies = True


class Nowhere(Command, frozen=True, kw_only=True, tag_field="kind", tag="nowhere"):
    """Has no lane: a fault of ours."""

    policy = Policy.AGAIN


DoorCommand = Again | Look | Mark | End | Tidy | Nowhere


def _decide(state: Job | None, told: Any, now: datetime) -> Step[Job]:
    if state is None:
        return Step(Job(told.customer_id, is_unbreakable=told.is_unbreakable))
    match told:
        case Note():
            after = _noted(state, told.text, is_over=told.ends)
            events = (_event(told.text),)
            return Step(after, events, commands=told.commands, timers=told.timers, tells=told.tells)
        case Refuse(refusal=refusal):
            return Step(_noted(state, "refused"), refused=refusal)
        case Raise() | Due(name="raise"):
            raise RuleError
        case Due(name="thrice", at=at):
            is_set_again = state.notes.count("due thrice") < 2
            return Step(_noted(state, "due thrice"), timers={"thrice": at if is_set_again else None})
        case Due(name=name):
            return Step(_noted(state, f"due {name}"), (_event(f"due {name}"),))
        case Ended(command=command, outcome=outcome):
            text = f"{command.id} {type(outcome).__name__.lower()}"
            return Step(_noted(state, text), (_event(text),))
    raise AssertionError(told)


def _noted(state: Job, text: str, *, is_over: bool = False) -> Job:
    return msgspec.structs.replace(state, notes=(*state.notes, text), is_over=is_over)


def _broken(state: Job, told: Broken, now: datetime) -> Step[Job]:
    if state.is_unbreakable:
        raise RuleError
    return Step(_noted(state, "broken", is_over=True))


def _event(text: str) -> NewEvent:
    return NewEvent(CUSTOMER, "job_noted", "job/1", b'{"type":"job_noted","data":"' + text.encode() + b'"}')


JOB: Noun[Job] = Noun(
    kind="job",
    state_type=Job,
    decide=_decide,
    is_final=lambda state: state.is_over,
    broken=_broken,
    customer_of=lambda state: state.customer_id,
    creates=(Make,),
)
OTHER: Noun[Job] = msgspec.structs.replace(JOB, kind="other")
NOUNS = registry(JOB, OTHER)


def to(row_id: str, told: Any, kind: str = "job") -> Tell:
    return Tell(kind, row_id, told)


def note(text: str, *commands: Command, **rest: Any) -> Note:
    return Note(text, commands, **rest)
