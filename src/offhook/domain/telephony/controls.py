"""What is turned on and off while both sides talk: hold, music, silence, mute; and the hold of the phone's own.

A switch plays one thing without an end at a time, and forgets it for whatever is played meanwhile. So whatever ends,
the one that should be heard is begun again; to begin it twice changes nothing. A call on hold is muted as well: what
it says would still be heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from offhook.domain.catalogue.call import Call
from offhook.domain.inputs.call import Control, MuteAsked, SoundAsked
from offhook.domain.step import Refusal
from offhook.domain.switch.commands import (
    Hold,
    Mute,
    StartMusic,
    StartSilence,
    StopMusic,
    StopSilence,
    ToSwitch,
    Unhold,
    Unmute,
)
from offhook.domain.telephony.call_state import CallDraft

_SOUNDS: Mapping[str, tuple[type[ToSwitch], type[ToSwitch]]] = MappingProxyType(
    {"silence": (StartSilence, StopSilence), "moh": (StartMusic, StopMusic), "hold": (Hold, Unhold)}
)
"""How each is begun and ended. Of those that are on, the first is heard."""
_WAYS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"": frozenset(), "in": frozenset({"in"}), "out": frozenset({"out"}), "both": frozenset({"in", "out"})}
)


def control(draft: CallDraft, told: Control) -> None:
    """Do what was asked, unless it is so already. Refused while there are no two sides."""
    call = draft.state.call
    if call.status != "progressing" or draft.state.is_ending:
        draft.refused = Refusal(409, "STATE_INVALID", f"The call {call.id} is not in progress.")
        return
    match told:
        case SoundAsked(sound=sound, is_on=is_on):
            is_other = (sound in call.metadata) is not is_on
            if is_other:
                _turn(draft, sound, is_on=is_on)
        case MuteAsked(direction=direction, is_on=is_on):
            is_other = mute(draft, direction, is_on=is_on)
    if is_other:
        draft.tell_customer("call_updated")


def mute(draft: CallDraft, direction: str, *, is_on: bool = True) -> bool:
    """Close these ways, or open them, without an event. Whether that changed anything."""
    now = _WAYS[draft.state.call.mute_direction]
    wanted = now | _WAYS[direction] if is_on else now - _WAYS[direction]
    _show(draft, mute_direction=next(name for name, ways in _WAYS.items() if ways == wanted))
    return wanted != now


def resume(draft: CallDraft) -> None:
    """Something else was played: what should be heard is begun again."""
    heard = _heard(draft.state.call)
    if heard:
        draft.command(_SOUNDS[heard][0])


def turn_again(draft: CallDraft) -> None:
    """Something could not be turned on or off: all is, as it should be."""
    call = draft.state.call
    closed = _closed(call)
    for way in sorted(_WAYS["both"]):
        draft.command(Mute if way in closed else Unmute, direction=way)
    draft.command(Hold if "hold" in call.metadata else Unhold)
    if _heard(call) != "hold":
        resume(draft)


def held(draft: CallDraft, *, is_held: bool) -> None:
    """The phone has put us on hold, or takes the call up again."""
    metadata = draft.state.call.metadata
    if draft.state.is_ending or ("remote_hold" in metadata) is is_held:
        return
    draft.show(metadata=_with(metadata, "remote_hold", is_on=is_held))
    draft.tell_customer("call_updated")


def _turn(draft: CallDraft, sound: str, *, is_on: bool) -> None:
    start, stop = _SOUNDS[sound]
    _show(draft, metadata=_with(draft.state.call.metadata, sound, is_on=is_on))
    draft.command(start if is_on else stop)
    if _heard(draft.state.call) != (sound if is_on else ""):
        resume(draft)


def _show(draft: CallDraft, **fields: Any) -> None:
    """Other values in the public shape, and the ways closed or opened as they say."""
    before = _closed(draft.state.call)
    draft.show(**fields)
    after = _closed(draft.state.call)
    for way in sorted(after - before):
        draft.command(Mute, direction=way)
    for way in sorted(before - after):
        draft.command(Unmute, direction=way)


def _closed(call: Call) -> frozenset[str]:
    return _WAYS[call.mute_direction] | (_WAYS["in"] if "hold" in call.metadata else _WAYS[""])


def _heard(call: Call) -> str:
    return next((sound for sound in _SOUNDS if sound in call.metadata), "")


def _with(metadata: Mapping[str, Any], name: str, *, is_on: bool) -> dict[str, Any]:
    rest = {key: value for key, value in metadata.items() if key != name}
    return {**rest, name: True} if is_on else rest
