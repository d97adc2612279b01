"""What is kept of a call: its public shape, and beside it what only we need.

`work` is what the channel is at, on behalf of the flow's present action. It says what the rules wait for.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from offhook.domain.catalogue.call import Call
from offhook.domain.draft import Draft
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import activeflow
from offhook.domain.inputs.call import KIND, Answers, Echoes, Listens, Plays, Sends, Speaks
from offhook.domain.step import Tell, made_id
from offhook.domain.switch.commands import Find, ToSwitch
from offhook.domain.times import rfc3339

_ASK_AGAIN = timedelta(seconds=2)


class Timer(StrEnum):
    """A call's timers."""

    ASK = "ask"  # whether the channel is there
    FOLLOW = "follow"  # the channel, again
    GO_ON = "go_on"  # with the flow, in a commit of its own
    SILENT = "silent"  # a playback has failed
    ECHO = "echo"  # is not there yet
    TURN = "turn"  # on or off what could not be, again
    LONGEST = "longest"  # that a call may be


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """Nothing: the flow waits, or there is none."""


class Answering(msgspec.Struct, frozen=True, tag="answering"):
    """The channel is being answered, for `doing`. `is_done`: the command has ended; the switch may not have said so."""

    turn: int
    doing: Answers | Plays | Speaks | Echoes | Listens | Sends
    is_done: bool = False


class Playing(msgspec.Struct, frozen=True, tag="playing"):
    """A playback was commanded, and its end is waited for; with `ends_by_digit` a digit ends it."""

    turn: int
    playback_id: str
    ends_by_digit: bool = False


class Speaking(msgspec.Struct, frozen=True, tag="speaking"):
    """A text is being made to sound by the command `speak_id`; then it is played (`domain.telephony.talk`)."""

    turn: int
    speak_id: str
    ends_by_digit: bool
    is_async: bool


class Sending(msgspec.Struct, frozen=True, tag="sending"):
    """The far end is sent digits by that command; when it is done they take `takes`."""

    turn: int
    command_id: str
    takes: timedelta


class Echoing(msgspec.Struct, frozen=True, tag="echoing"):
    """A bridge of the caller and of a channel that sends back what it hears (`domain.telephony.echo`).

    `creating`: until the channel has entered. `joining`: until both are in the bridge, `joined_count` are. `dialling`:
    until the channel has been dialled. `has_channel`: its creation is known to have been carried out.
    """

    turn: int
    bridge_id: str
    channel_id: str
    attempt: int = 1
    stage: Literal["creating", "joining", "dialling", "echoing"] = "creating"
    has_channel: bool = False
    joined_count: int = 0


Work = Idle | Answering | Playing | Speaking | Sending | Echoing


class CallState(msgspec.Struct, frozen=True, kw_only=True):
    """A call. `made` counts the ids that its rules have made.

    `is_up` is what the switch said of the channel; `has_rung` that our ring command was carried out, `has_begun` that
    the flow was told to go. `wanted_reason` is what we end it with, where that was said. `is_asking`: the switch is
    being asked whether the channel is there, `is_troubled`: the work has failed because it seemed not to be.
    `beside` the work a talk may be heard whose action is over.
    """

    call: Call
    switch: str
    channel_id: str
    made: int = 0
    is_up: bool = False
    has_rung: bool = False
    has_begun: bool = False
    wanted_reason: str = ""
    is_asking: bool = False
    is_troubled: bool = False
    work: Work = Idle()
    beside: Playing | None = None

    @property
    def is_ending(self) -> bool:
        """Whether we have commanded its end. Of one that took too long the status does not show it."""
        return self.call.status in ("terminating", "canceling") or self.wanted_reason != ""

    @property
    def channels(self) -> tuple[str, ...]:
        """The switch's channels that are its own: what is said of them is said to this call."""
        return (self.channel_id, self.work.channel_id) if isinstance(self.work, Echoing) else (self.channel_id,)


class CallDraft(Draft[CallState]):
    """A decision about a call."""

    def new_id(self) -> str:
        """The id of one more thing of this call's."""
        number = self.state.made + 1
        self.change(made=number)
        return made_id(self.state.call.id, number)

    def show(self, **fields: Any) -> None:
        """Other values in the public shape."""
        self.change(call=replace(self.state.call, tm_update=rfc3339(self.now), **fields))

    def tell_customer(self, event_type: str) -> None:
        """The event that the call is as it is now."""
        call = self.state.call
        self.tell_of(event_type, KIND, call, call.activeflow_id)

    def command(self, kind: type[ToSwitch], channel_id: str = "", **fields: Any) -> None:
        """One more command, by default for the call's own channel."""
        state = self.state
        command = kind(id=self.new_id(), switch=state.switch, channel_id=channel_id or state.channel_id, **fields)
        self.commands.append(command)

    def tell_flow(self, told: Any) -> None:
        """An input for the call's activeflow."""
        if self.state.call.activeflow_id != NIL_UUID:
            self.tells.append(Tell(activeflow.KIND, self.state.call.activeflow_id, told))

    def rest(self) -> None:
        """The channel is at nothing, and nothing of what it was at is waited for."""
        self.change(work=Idle(), is_troubled=False)
        self.timers.update({Timer.GO_ON: None, Timer.SILENT: None, Timer.ECHO: None})

    def finish(self, turn: int, error: str = "") -> None:
        """The action is over for the call; `error` says why it could not be done."""
        self.rest()
        self.tell_flow(activeflow.ActionEnded(turn, self.state.call.status, error))

    def ask(self, *, is_troubled: bool = False) -> None:
        """Ask whether the channel is still there: what is not found is no proof by itself that the call is over."""
        self.change(is_troubled=self.state.is_troubled or is_troubled)
        if not self.state.is_asking:
            self.change(is_asking=True)
            self.command(Find, thing="channel", thing_id=self.state.channel_id)

    def ask_later(self) -> None:
        """Ask in a moment, if the call is not over by then."""
        self.timers[Timer.ASK] = self.now + _ASK_AGAIN
