"""What an ARI event means in the port's terms, and nothing else: pure.

Measured on Asterisk 16 and 22: `ring` makes no event; `tech_cause` (the SIP status) is there in 22 only; a
PlaybackFinished names its channel in `target_uri`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offhook.switch.asterisk.inputs import DIALLED, INCOMING, OWN_CONTEXT
from offhook.switch.port import (
    Channel,
    ChannelAnswered,
    ChannelArrived,
    ChannelGone,
    ChannelRinging,
    PlaybackFinished,
    SwitchInput,
)


def input_of(event: Mapping[str, Any]) -> SwitchInput | None:
    """The port's input for an ARI event, None if it has nothing to say."""
    match event.get("type"):
        case "StasisStart" if event["args"][:1] == [INCOMING]:
            return ChannelArrived(channel_of(event["channel"], event["args"]))
        case "ChannelStateChange":
            return _state_change(event["channel"])
        case "PlaybackFinished":
            return _playback_finished(event["playback"])
        case "ChannelDestroyed":
            return ChannelGone(event["channel"]["id"], event["cause"], event.get("tech_cause", 0))
        case _:
            return None


def channel_of(channel: Mapping[str, Any], args: list[str]) -> Channel:
    """A caller's channel. Where our own dialplan did not bring it, the number dialled may be a second argument."""
    dialled = channel.get("channelvars", {}).get(DIALLED) or "".join(args[1:2]) or _extension(channel["dialplan"])
    caller = channel["caller"]
    name = caller["name"] if caller["name"] != caller["number"] else ""
    return Channel(channel["id"], channel["state"] == "Up", name, caller["number"], dialled)


def callers_in(channels: list[dict[str, Any]], application: str) -> tuple[Channel, ...]:
    """The callers' legs that are in our application now, of all channels there are."""
    found = []
    for channel in channels:
        where = channel["dialplan"]
        args = where["app_data"].split(",")
        if where["app_name"] == "Stasis" and args[:2] == [application, INCOMING]:
            found.append(channel_of(channel, args[1:]))
    return tuple(found)


def _extension(where: Mapping[str, Any]) -> str:
    # In our own dialplan the variable is missing only if what was dialled is not UTF-8: then nobody can name it.
    return "" if where["context"] == OWN_CONTEXT else str(where["exten"])


def _state_change(channel: Mapping[str, Any]) -> SwitchInput | None:
    match channel["state"]:
        case "Up":
            return ChannelAnswered(channel["id"])
        case "Ringing":
            return ChannelRinging(channel["id"])
        case _:
            return None


def _playback_finished(playback: Mapping[str, Any]) -> SwitchInput | None:
    kind, _, channel_id = playback["target_uri"].partition(":")
    return PlaybackFinished(channel_id, playback["id"]) if kind == "channel" else None
