"""What an ARI event means to us (`domain.switch_inputs`), and nothing else: pure.

Measured on Asterisk 16 and 22: `ring` makes no event; `tech_cause` (the SIP status) is there in 22 only; a
PlaybackFinished names its channel in `target_uri`. One is `failed` whose sound is not there, or that had not begun when
its channel ended; one that was cut off in the middle is `done`, whoever did it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from offhook.domain.switch.inputs import (
    Channel,
    ChannelAnswered,
    ChannelArrived,
    ChannelEntered,
    ChannelGone,
    ChannelHeld,
    ChannelRinging,
    ChannelUnheld,
    DigitReceived,
    PlaybackFinished,
    SwitchInput,
)

INCOMING = "incoming"
"""The argument with which the dialplan hands a caller to our application: `Stasis(offhook,incoming)`."""

OUTGOING, ECHOING, SNOOPING = "outgoing", "echo", "snoop"
"""The arguments with which a channel that we made comes into our application: what it is made for."""

DIALLED = "OFFHOOK_DIALLED"
"""The channel variable in which our dialplan keeps the number that was dialled."""

OWN_CONTEXT = "offhook-call"
"""The context of our dialplan in which a caller is handed to our application."""

EVENT_TYPES = (
    *("StasisStart", "ChannelStateChange", "PlaybackFinished", "ChannelDtmfReceived", "ChannelDestroyed"),
    *("ChannelHold", "ChannelUnhold", "ChannelUserevent"),
)
"""The events that mean something to us; Asterisk need not send any other."""

_CREATED = (OUTGOING, ECHOING, SNOOPING)


def input_of(event: Mapping[str, Any], switch: str) -> SwitchInput | None:
    """What an ARI event of that switch tells, None if it has nothing to say."""
    match event.get("type"):
        case "StasisStart":
            return _start(event["channel"], event["args"], switch)
        case "ChannelStateChange":
            return _state_change(event["channel"], switch)
        case "PlaybackFinished":
            return _playback_finished(event["playback"], switch)
        case "ChannelDtmfReceived":
            return DigitReceived(switch, event["channel"]["id"], event["digit"])
        case "ChannelHold":
            return ChannelHeld(switch, event["channel"]["id"])
        case "ChannelUnhold":
            return ChannelUnheld(switch, event["channel"]["id"])
        case "ChannelDestroyed":
            return ChannelGone(switch, event["channel"]["id"], event["cause"], event.get("tech_cause", 0))
        case _:
            return None


def callers_in(channels: Iterable[Mapping[str, Any]], application: str, switch: str) -> tuple[Channel, ...]:
    """The callers' legs that are in our application now, of all channels there are."""
    return tuple(
        channel_of(channel, args, switch)
        for channel in channels
        if (args := _args(channel, application))[:1] == [INCOMING]
    )


def created_in(channels: Iterable[Mapping[str, Any]], application: str) -> tuple[str, ...]:
    """The ids of the channels that we made and that are in our application now, of all channels there are."""
    return tuple(str(channel["id"]) for channel in channels if _is_created(_args(channel, application)))


def channel_of(channel: Mapping[str, Any], args: list[str], switch: str) -> Channel:
    """A caller's channel. Where our own dialplan did not bring it, the number dialled may be a second argument."""
    dialled = channel.get("channelvars", {}).get(DIALLED) or "".join(args[1:2]) or _extension(channel["dialplan"])
    caller = channel["caller"]
    name = caller["name"] if caller["name"] != caller["number"] else ""
    return Channel(switch, channel["id"], channel["state"] == "Up", name, caller["number"], dialled)


def is_in_application(channel: Mapping[str, Any]) -> bool:
    """Whether a channel is in an application's hands, as all that we create are in ours."""
    return bool(channel["dialplan"]["app_name"] == "Stasis")


def started_at(information: Mapping[str, Any]) -> datetime:
    """When the Asterisk process began, out of `GET /asterisk/info`."""
    return datetime.strptime(information["status"]["startup_time"], "%Y-%m-%dT%H:%M:%S.%f%z")


def _args(channel: Mapping[str, Any], application: str) -> list[str]:
    """With what it came into the application; empty if it is not there."""
    name, *args = str(channel["dialplan"]["app_data"]).split(",")
    return args if is_in_application(channel) and name == application else []


def _is_created(args: list[str]) -> bool:
    return bool(args) and args[0] in _CREATED


def _start(channel: Mapping[str, Any], args: list[str], switch: str) -> SwitchInput | None:
    if args[:1] == [INCOMING]:
        return ChannelArrived(channel_of(channel, args, switch))
    return ChannelEntered(switch, channel["id"]) if _is_created(args) else None


def _extension(where: Mapping[str, Any]) -> str:
    # In our own dialplan the variable is missing only if what was dialled is not UTF-8: then nobody can name it.
    return "" if where["context"] == OWN_CONTEXT else str(where["exten"])


def _state_change(channel: Mapping[str, Any], switch: str) -> SwitchInput | None:
    match channel["state"]:
        case "Up":
            return ChannelAnswered(switch, channel["id"])
        case "Ringing":
            return ChannelRinging(switch, channel["id"])
        case _:
            return None


def _playback_finished(playback: Mapping[str, Any], switch: str) -> SwitchInput | None:
    kind, _, channel_id = playback["target_uri"].partition(":")
    has_failed = playback["state"] == "failed"
    return PlaybackFinished(switch, channel_id, playback["id"], has_failed) if kind == "channel" else None
