"""What every noun's decision takes and gives, whatever the noun.

    decide(state, input, now) -> Step(state, events, commands, timers, tells)

A decision is pure. What it wants done outside is a command, kept in its row until it is known how it ended; `Ended`
tells it. What it wants of other rows is a tell, followed in the same transaction. When it wants to be told of the
time is a named timer; `Due` tells it. `store.commit.unit` is what carries this out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, TypeVar

import msgspec

from offhook.domain.events.event import NewEvent

S = TypeVar("S")
C = TypeVar("C")

Thing = Literal["channel", "bridge", "playback", "recording", "snoop"]
"""What of a switch's may be absent."""


class Policy(Enum):
    """What may be done about a command of which it is not known whether it was carried out.

    AGAIN: it is repeated, or found done. LOOK: whoever carries it out asks for its result first; what cannot be found
    is `Unknown`. MARK: a durable mark is set before it is sent. Without the mark it was never sent and is done now;
    with it, it is looked for and never repeated, for a second time would hurt somebody or cost money.
    """

    AGAIN = "again"
    LOOK = "look"
    MARK = "mark"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done outside. Every kind says its policy.

    `id` is made of the row's id and a counter of the row's (`Ids`). Commands of one `lane` are carried out one after
    another, in the order in which they were committed, whichever row they are of.
    """

    policy: ClassVar[Policy]
    patience: ClassVar[timedelta | None] = timedelta(seconds=10)
    """How long it is repeated while what it is for cannot be reached; None: until it is known how it ended."""
    supersedes: ClassVar[bool] = False
    """Whether what still waits in its lane, and was committed earlier, need not be done any more."""
    tidies: ClassVar[bool] = False
    """Whether it ends something that would else be left behind: then nothing supersedes it."""

    id: str

    @property
    def lane(self) -> str:
        """Whose order it keeps."""
        raise NotImplementedError


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was carried out, now or before. `made` names what came of it, where nobody could know that before."""

    made: str = ""


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """It was carried out, and this was answered: an HTTP status, and as much of the body as was wanted.

    `is_whole`: there was no more.
    """

    status_code: int
    body: bytes
    is_whole: bool


class Absent(msgspec.Struct, frozen=True, tag="absent"):
    """What it is about does not exist, or not any more. Which one: the command names it."""

    thing: Thing


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It will not be done, however often it is asked."""

    reason: str


class Unavailable(msgspec.Struct, frozen=True, tag="unavailable"):
    """Whoever should do it could not be reached, or failed, for as long as the command had patience.

    `is_undone`: it was certainly not done, and may be tried again whatever its policy.
    """

    is_undone: bool = False


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """It may have been carried out or not, and cannot be looked for."""


class Superseded(msgspec.Struct, frozen=True, tag="superseded"):
    """It was not begun, and a later command made it pointless."""


Outcome = Done | Answered | Absent | Refused | Unavailable | Unknown | Superseded
"""How a command ended."""


class Pending(msgspec.Struct, Generic[C], frozen=True):
    """A command whose end is not known. `number` is its place among all commands there ever were; `begun` its mark."""

    number: int
    command: C
    begun: bool = False


class Ended(msgspec.Struct, frozen=True):
    """A command ended. May come before or after what the switch tells of its effect. Never for one not pending."""

    command: Command
    outcome: Outcome


class Begun(msgspec.Struct, frozen=True):
    """A command is about to be sent: sets its mark. No noun is told."""

    command_id: str


class Due(msgspec.Struct, frozen=True):
    """The row's timer `name` is due. Counts only if that timer still says exactly `at`, and clears it."""

    name: str
    at: datetime


class Broken(msgspec.Struct, frozen=True):
    """The noun's decide raised: the row has to end as failed. Goes to the noun's `broken`, not to its `decide`."""

    reason: str


class Delete(msgspec.Struct, frozen=True):
    """Somebody asked for it to be deleted. The only input that a final row decides."""


class Lookup(msgspec.Struct, frozen=True):
    """A query by the index `name` of a kind (`Noun.indexes`): at most `limit` rows that stand there under `key`."""

    kind: str
    name: str
    key: str
    limit: int = 10


class Found(msgspec.Struct, frozen=True):
    """What a lookup found. A hint only: the row that is meant decides."""

    lookup: Lookup
    ids: tuple[str, ...]


class Tell(msgspec.Struct, frozen=True):
    """An input for one row."""

    kind: str
    id: str
    input: Any


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is not fulfilled, in the terms of the error envelope (facts, section 2)."""

    status: int
    reason: str
    message: str
    field: str = ""


_NOTHING: Mapping[str, datetime | None] = MappingProxyType({})


class Step(msgspec.Struct, Generic[S], frozen=True):
    """What a decision gives.

    `timers` are set, or cleared by None; others stay. `lookup` is done at once, and the same row is told `Found` before
    anything else. `refused` undoes everything if the input came from outside, and means nothing in a tell.
    """

    state: S
    events: tuple[NewEvent, ...] = ()
    commands: tuple[Command, ...] = ()
    timers: Mapping[str, datetime | None] = _NOTHING
    tells: tuple[Tell, ...] = ()
    lookup: Lookup | None = None
    refused: Refusal | None = None


def made_id(parent: str, number: int) -> str:
    """The id of the `number`th thing that the rules of `parent` made: the same whenever the same decision is made."""
    # `str(uuid.uuid5(uuid.UUID(parent), str(number)))`, three times as fast: every command has one.
    digest = hashlib.sha1(bytes.fromhex(parent.replace("-", "")) + str(number).encode(), usedforsecurity=False).digest()
    text = digest[:16].hex()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
