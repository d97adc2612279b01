"""What a switch is told: a closed union. One command is one request, with ids of ours for everything that it makes.

In the terms of SIP and Asterisk: a *channel* is one leg to a phone, a *bridge* mixes channels. Which policy each kind
has follows from what Asterisk does when it is asked a second time under the same id (docs of `Policy`; measured on
22.10.1).
"""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum
from typing import ClassVar, Literal

from offhook.domain.step import Command, Policy, Thing

ECHO = "echo"
"""The endpoint (`Create`) that sends back what it hears."""


class HangUpCause(IntEnum):
    """What the far end is told (ITU-T Q.850, table 1)."""

    UNALLOCATED = 1
    NORMAL = 16
    BUSY = 17
    NO_ANSWER = 19
    CONGESTION = 34


class ToSwitch(Command, frozen=True, kw_only=True, tag_field="kind"):
    """A command for the switch of that name. It keeps the order of `channel_id`; of a bridge's it is the caller's."""

    switch: str
    channel_id: str

    @property
    def lane(self) -> str:
        """The channel's."""
        return f"{self.switch}/{self.channel_id}"


class Follow(ToSwitch, frozen=True, kw_only=True, tag="follow"):
    """Tell of the channel until its end, also of an inbound one that has left our hands."""

    policy = Policy.AGAIN


class Ring(ToSwitch, frozen=True, kw_only=True, tag="ring"):
    """Let an incoming caller hear ringing. The switch tells nothing of it."""

    policy = Policy.AGAIN


class Answer(ToSwitch, frozen=True, kw_only=True, tag="answer"):
    """Answer an incoming channel; ChannelAnswered tells it."""

    policy = Policy.AGAIN


class HangUp(ToSwitch, frozen=True, kw_only=True, tag="hang_up"):
    """End a channel of any kind, or refuse it before the answer; ChannelGone tells it."""

    policy = Policy.AGAIN
    patience: ClassVar[timedelta | None] = None
    supersedes = True

    cause: HangUpCause = HangUpCause.NORMAL


class Create(ToSwitch, frozen=True, kw_only=True, tag="create"):
    """Make a channel, silent and not dialled; ChannelEntered tells that more can be done with it.

    With its `originator`'s formats nothing is transcoded between the two.
    """

    policy = Policy.AGAIN

    endpoint: str
    originator: str = ""


class Dial(ToSwitch, frozen=True, kw_only=True, tag="dial"):
    """Dial a created channel, once, after ChannelEntered. A second time would hang it up, or worse."""

    policy = Policy.MARK


class Play(ToSwitch, frozen=True, kw_only=True, tag="play"):
    """Play to a channel, one after another (`sound:<name>` is one of the switch's own); PlaybackFinished tells the end.
    A second time would play it twice."""

    policy = Policy.MARK

    playback_id: str
    media: tuple[str, ...]


class StopPlayback(ToSwitch, frozen=True, kw_only=True, tag="stop_playback"):
    """Cut a playback off."""

    policy = Policy.AGAIN

    playback_id: str


class SendDigits(ToSwitch, frozen=True, kw_only=True, tag="send_digits"):
    """Send digits to the far end, one after another; nobody tells their end. A second time would send them twice."""

    policy = Policy.MARK

    digits: str
    duration_ms: int
    interval_ms: int


class Mute(ToSwitch, frozen=True, kw_only=True, tag="mute"):
    """Let nothing through that the far end says (`in`), or nothing that it hears (`out`). Like all that is turned on
    and off here, it begins when what is played has been played to its end, and the switch tells nothing of it."""

    policy = Policy.AGAIN

    direction: Literal["in", "out"]


class Unmute(ToSwitch, frozen=True, kw_only=True, tag="unmute"):
    """The contrary, one direction at a time."""

    policy = Policy.AGAIN

    direction: Literal["in", "out"]


class Hold(ToSwitch, frozen=True, kw_only=True, tag="hold"):
    """Tell the phone that it is on hold, and play music to it. What it says is still heard."""

    policy = Policy.AGAIN


class Unhold(ToSwitch, frozen=True, kw_only=True, tag="unhold"):
    """End that, and whatever else is played without an end."""

    policy = Policy.AGAIN


class StartMusic(ToSwitch, frozen=True, kw_only=True, tag="start_music"):
    """Play music, in the place of silence."""

    policy = Policy.AGAIN


class StopMusic(ToSwitch, frozen=True, kw_only=True, tag="stop_music"):
    """End it, and whatever else is played without an end."""

    policy = Policy.AGAIN


class StartSilence(ToSwitch, frozen=True, kw_only=True, tag="start_silence"):
    """Send silence, in the place of music."""

    policy = Policy.AGAIN


class StopSilence(ToSwitch, frozen=True, kw_only=True, tag="stop_silence"):
    """End it."""

    policy = Policy.AGAIN


class CreateBridge(ToSwitch, frozen=True, kw_only=True, tag="create_bridge"):
    """Make a bridge that mixes what is said."""

    policy = Policy.AGAIN

    bridge_id: str


class AddToBridge(ToSwitch, frozen=True, kw_only=True, tag="add_to_bridge"):
    """Put one channel, `member_id`, into a bridge. One that is there already is left alone."""

    policy = Policy.AGAIN

    bridge_id: str
    member_id: str


class RemoveFromBridge(ToSwitch, frozen=True, kw_only=True, tag="remove_from_bridge"):
    """Take one channel out of a bridge."""

    policy = Policy.AGAIN

    bridge_id: str
    member_id: str


class DestroyBridge(ToSwitch, frozen=True, kw_only=True, tag="destroy_bridge"):
    """End a bridge. Its channels stay."""

    policy = Policy.AGAIN
    tidies = True

    bridge_id: str


class Snoop(ToSwitch, frozen=True, kw_only=True, tag="snoop"):
    """Make a channel, `snoop_id`, that hears what the channel says (`in`) or hears (`out`); HangUp ends it."""

    policy = Policy.LOOK

    snoop_id: str
    spy: Literal["in", "out"]


class Record(ToSwitch, frozen=True, kw_only=True, tag="record"):
    """Write down what a channel hears, under a name that was never used."""

    policy = Policy.AGAIN

    recording_id: str


class StopRecording(ToSwitch, frozen=True, kw_only=True, tag="stop_recording"):
    """End a recording and keep it."""

    policy = Policy.AGAIN
    tidies = True

    recording_id: str


class Find(ToSwitch, frozen=True, kw_only=True, tag="find"):
    """Ask whether a thing is there: Done or Absent."""

    policy = Policy.AGAIN

    thing: Thing
    thing_id: str


SwitchCommand = (
    Follow
    | Ring
    | Answer
    | HangUp
    | Create
    | Dial
    | Play
    | StopPlayback
    | SendDigits
    | Mute
    | Unmute
    | Hold
    | Unhold
    | StartMusic
    | StopMusic
    | StartSilence
    | StopSilence
    | CreateBridge
    | AddToBridge
    | RemoveFromBridge
    | DestroyBridge
    | Snoop
    | Record
    | StopRecording
    | Find
)
