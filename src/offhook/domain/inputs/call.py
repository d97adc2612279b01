"""What a call can be told, beside what the switch says and how its commands ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

from offhook.domain.catalogue.fields import Action
from offhook.domain.ids import NIL_UUID
from offhook.domain.switch.inputs import Channel

KIND = "call"


class Arrived(msgspec.Struct, frozen=True):
    """Makes a call of a caller of `customer_id`'s `number` ("": as it was dialled); `actions` are the flow that it
    runs. It is ended after `max_time`."""

    id: str
    customer_id: str
    channel: Channel
    actions: tuple[Action, ...]
    flow_id: str = NIL_UUID
    on_complete_flow_id: str = NIL_UUID
    number: str = ""
    max_time: timedelta = timedelta(hours=1)


class Present(msgspec.Struct, frozen=True):
    """The switch was out of sight and the call's channel is still there. `created` are the ids of the channels that
    we made and that are there: of this call's own, or all."""

    is_up: bool
    created: tuple[str, ...] = ()


class Lost(msgspec.Struct, frozen=True):
    """The switch died under the call, or is out of reach for too long."""


class HangUpAsked(msgspec.Struct, frozen=True):
    """Somebody on our side wants the call to end."""


class SoundAsked(msgspec.Struct, frozen=True):
    """Somebody on our side wants the phone to be on hold, or to hear music or silence; or no longer."""

    sound: Literal["hold", "moh", "silence"]
    is_on: bool


class MuteAsked(msgspec.Struct, frozen=True):
    """Somebody on our side wants nothing that the call says to be heard (`in`), or it to hear nothing (`out`), or
    `both`; or no longer."""

    direction: Literal["in", "out", "both"]
    is_on: bool


Control = SoundAsked | MuteAsked
"""What is asked of a call that both sides are talking on."""


class Waits(msgspec.Struct, frozen=True, tag="waits"):
    """An action that leaves the channel alone; whoever runs the flow knows its end."""


class Answers(msgspec.Struct, frozen=True, tag="answers"):
    """The call is answered."""


class Plays(msgspec.Struct, frozen=True, tag="plays"):
    """The caller hears something, answered first; as `switch_commands.Play`."""

    media: tuple[str, ...]


class Speaks(msgspec.Struct, frozen=True, tag="speaks"):
    """The caller hears a text, answered first. With `digits_handle` next a digit ends it; with `is_async` the action is
    over as soon as it is heard, and goes on until something else is to be heard."""

    text: str
    language: str = ""
    voice: str = ""
    digits_handle: Literal["", "next"] = ""
    is_async: bool = False


class Echoes(msgspec.Struct, frozen=True, tag="echoes"):
    """The caller hears itself, answered first, until the call ends or something else begins."""


class Listens(msgspec.Struct, frozen=True, tag="listens"):
    """Digits are awaited, answered first; `activeflow.Listening` is told back, and the flow knows the end."""


class Sends(msgspec.Struct, frozen=True, tag="sends"):
    """The far end is sent digits, answered first; as `switch_commands.SendDigits`."""

    digits: str
    duration_ms: int
    interval_ms: int


class Mutes(msgspec.Struct, frozen=True, tag="mutes"):
    """The call is muted both ways, and the flow goes on."""


class HangsUp(msgspec.Struct, frozen=True, tag="hangs_up"):
    """The call is ended, with this reason if one is given."""

    reason: str = ""


Doing = Waits | Answers | Plays | Speaks | Echoes | Listens | Sends | Mutes | HangsUp
"""What an action is to the channel."""


class Begin(msgspec.Struct, frozen=True):
    """The call's flow has come to an action, its `turn`th; `ActionEnded` with that turn is told back."""

    turn: int
    action: Action
    doing: Doing


class FlowEnded(msgspec.Struct, frozen=True):
    """The call's flow has no more actions; `has_failed` if a rule of ours raised."""

    has_failed: bool = False
