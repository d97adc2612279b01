"""An Asterisk in memory, as far as the rules see one: what it answers and tells, also when asked twice (as 22.10.1).

A model, for stories that no real one could be made to tell.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import assert_never

from offhook.domain.step import Absent, Done, Outcome, Refused, Unknown
from offhook.domain.switch.commands import (
    AddToBridge,
    Answer,
    Create,
    CreateBridge,
    DestroyBridge,
    Dial,
    Find,
    Follow,
    HangUp,
    Hold,
    Mute,
    Play,
    Record,
    RemoveFromBridge,
    Ring,
    SendDigits,
    Snoop,
    StartMusic,
    StartSilence,
    StopMusic,
    StopPlayback,
    StopRecording,
    StopSilence,
    SwitchCommand,
    Unhold,
    Unmute,
)
from offhook.domain.switch.inputs import (
    Channel,
    ChannelAnswered,
    ChannelArrived,
    ChannelEntered,
    ChannelGone,
    PlaybackFinished,
    SwitchInput,
)
from tests.core.calls import SWITCH, channel


@dataclass
class Leg:
    """A channel. `is_ours`: one that we made, which can be used once it `has_entered`."""

    is_ours: bool = False
    is_up: bool = False
    has_entered: bool = True
    is_dialled: bool = False
    bridge_id: str = ""
    muted: frozenset[str] = frozenset()
    heard: str = ""


class Asterisk:
    """`told` is what it has said and nobody has heard."""

    def __init__(self) -> None:
        self.legs: dict[str, Leg] = {}
        self.bridges: set[str] = set()
        self.playbacks: dict[str, str] = {}
        self.told: list[SwitchInput] = []
        self.play_counts: Counter[str] = Counter()
        self.dial_counts: Counter[str] = Counter()

    def call(self, channel_id: str) -> None:
        self.legs[channel_id] = Leg()
        self.told.append(ChannelArrived(channel(channel_id)))

    def caller(self, channel_id: str) -> Channel:
        return channel(channel_id, is_up=self.legs[channel_id].is_up)

    def callers(self) -> list[str]:
        return [name for name, leg in self.legs.items() if not leg.is_ours]

    def created(self) -> tuple[str, ...]:
        return tuple(name for name, leg in self.legs.items() if leg.is_ours and leg.has_entered)

    def let_enter(self) -> None:
        """What was created gets into our hands, some milliseconds later."""
        for name, leg in self.legs.items():
            if not leg.has_entered:
                leg.has_entered = True
                self.told.append(ChannelEntered(SWITCH, name))

    def end_playback(self, playback_id: str, *, has_failed: bool = False) -> None:
        channel_id = self.playbacks.pop(playback_id)
        self.legs[channel_id].heard = ""
        self.told.append(PlaybackFinished(SWITCH, channel_id, playback_id, has_failed))

    def destroy(self, channel_id: str, cause: int = 0) -> None:
        """A channel ends: its phone hung up, or we did."""
        for playback_id, played_to in list(self.playbacks.items()):
            if played_to == channel_id:
                self.end_playback(playback_id, has_failed=True)
        del self.legs[channel_id]
        self.told.append(ChannelGone(SWITCH, channel_id, cause))

    def die(self) -> None:
        """Another one takes its place, which knows nothing."""
        self.legs.clear()
        self.bridges.clear()
        self.playbacks.clear()
        self.told.clear()

    def is_echoing(self, channel_id: str) -> bool:
        """Whether what is said comes back."""
        bridge_id = self.legs[channel_id].bridge_id
        others = [leg for leg in self.legs.values() if leg.is_ours and leg.bridge_id == bridge_id]
        return bool(bridge_id) and any(leg.is_dialled for leg in others)

    def look(self, command: SwitchCommand) -> Outcome:
        """Whether a command that was begun was carried out."""
        match command:
            case Play(playback_id=playback_id):
                return Done() if playback_id in self.playbacks else Unknown()
            case Dial(channel_id=channel_id):
                leg = self.legs.get(channel_id)
                if leg is None:
                    return Absent("channel")
                return Done() if leg.is_dialled else Unknown()
            case _:
                raise AssertionError(command)

    def carry_out(self, command: SwitchCommand) -> Outcome:  # noqa: C901
        """One request."""
        leg = self.legs.get(command.channel_id)
        match command:
            case Create():
                return self._create(command)
            case CreateBridge():
                self.bridges.add(command.bridge_id)
                return Done()
            case DestroyBridge(bridge_id=bridge_id):
                if bridge_id not in self.bridges:
                    return Absent("bridge")
                self.bridges.discard(bridge_id)
                for one in self.legs.values():
                    one.bridge_id = "" if one.bridge_id == bridge_id else one.bridge_id
                return Done()
            case AddToBridge():
                return self._add(command)
            case Find(thing="playback", thing_id=thing_id):
                return Done() if thing_id in self.playbacks else Absent("playback")
            case Find():
                return Done() if command.thing_id in self.legs else Absent("channel")
            case StopPlayback(playback_id=playback_id):
                if playback_id not in self.playbacks:
                    return Absent("playback")
                self.end_playback(playback_id)
                return Done()
            case Follow() | Ring() | Answer() | HangUp() | Play() | Dial() if leg is None:
                return Absent("channel")
            case Follow() | Ring():
                return Done()
            case Answer():
                assert leg is not None
                if not leg.is_up:
                    leg.is_up = True
                    self.told.append(ChannelAnswered(SWITCH, command.channel_id))
                return Done()
            case HangUp():
                self.destroy(command.channel_id, int(command.cause))
                return Done()
            case Play():
                self.play_counts[command.playback_id] += 1
                self.playbacks[command.playback_id] = command.channel_id
                return Done()
            case Dial():
                assert leg is not None
                assert leg.has_entered, "dialled before it entered"
                self.dial_counts[command.channel_id] += 1
                leg.is_dialled = True
                return Done()
            case Mute() | Unmute() | Hold() | Unhold() | StartMusic() | StopMusic() | StartSilence() | StopSilence():
                return Absent("channel") if leg is None else _turned(leg, command)
            case SendDigits():
                return Absent("channel") if leg is None else Done()
            case RemoveFromBridge() | Snoop() | Record() | StopRecording():
                raise AssertionError(command)
            case _:
                assert_never(command)

    def _create(self, command: Create) -> Outcome:
        if command.channel_id not in self.legs:
            self.legs[command.channel_id] = Leg(is_ours=True, has_entered=False)
        return Done()

    def _add(self, command: AddToBridge) -> Outcome:
        member = self.legs.get(command.member_id)
        if command.bridge_id not in self.bridges:
            return Absent("bridge")
        if member is None:
            return Absent("channel")
        if not member.has_entered:
            return Refused("Channel not in Stasis application")
        member.bridge_id = command.bridge_id
        return Done()


def _turned(
    leg: Leg, command: Mute | Unmute | Hold | Unhold | StartMusic | StopMusic | StartSilence | StopSilence
) -> Outcome:
    """One thing without an end is heard at a time, and what ends music ends whatever it is."""
    match command:
        case Mute():
            leg.muted |= {command.direction}
        case Unmute():
            leg.muted -= {command.direction}
        case Hold() | StartMusic():
            leg.heard = "music"
        case StartSilence():
            leg.heard = "silence"
        case StopSilence() if leg.heard != "silence":
            pass
        case _:
            leg.heard = ""
    return Done()
