"""What a switch tells: a closed union. Which row it is for, whoever hears it finds out.

Everything may be told twice, late, or not at all: what happened while nobody was connected is never told again. Each
carries the switch's name.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class Channel(msgspec.Struct, frozen=True):
    """A caller's leg. `dialled` is the user part of the request URI; all texts are the caller's own."""

    switch: str
    id: str
    is_up: bool
    caller_name: str
    caller_number: str
    dialled: str


class ChannelArrived(msgspec.Struct, frozen=True):
    """Somebody calls; nothing was answered yet."""

    channel: Channel


class ChannelEntered(msgspec.Struct, frozen=True):
    """A channel that we created can be dialled, bridged and played to from now on."""

    switch: str
    channel_id: str


class ChannelRinging(msgspec.Struct, frozen=True):
    """The far end of an outgoing channel rings."""

    switch: str
    channel_id: str


class ChannelAnswered(msgspec.Struct, frozen=True):
    """The channel is up: both sides can talk."""

    switch: str
    channel_id: str


class ChannelGone(msgspec.Struct, frozen=True):
    """The channel ended. `cause` is Q.850's (0: none), `tech_cause` the SIP status (0: none, or not known)."""

    switch: str
    channel_id: str
    cause: int = 0
    tech_cause: int = 0


class PlaybackFinished(msgspec.Struct, frozen=True):
    """A playback came to its end, or was cut off. One that `has_failed` was not heard, or its channel ended."""

    switch: str
    channel_id: str
    playback_id: str
    has_failed: bool = False


class DigitReceived(msgspec.Struct, frozen=True):
    """A digit was typed on a channel: 0-9, *, #, A-D. Never to be logged: it may be of a PIN."""

    switch: str
    channel_id: str
    digit: str


class ChannelHeld(msgspec.Struct, frozen=True):
    """The phone has put us on hold."""

    switch: str
    channel_id: str


class ChannelUnheld(msgspec.Struct, frozen=True):
    """It takes the call up again."""

    switch: str
    channel_id: str


class SwitchConnected(msgspec.Struct, frozen=True):
    """The switch can be reached, at first or again.

    `callers` are the callers' legs that are in our hands, `created` the ids of the channels that we made and that
    have entered; `started_at` is when this switch process began.
    """

    switch: str
    callers: tuple[Channel, ...]
    created: tuple[str, ...]
    started_at: datetime


class SwitchLost(msgspec.Struct, frozen=True):
    """The switch cannot be reached any more."""

    switch: str


SwitchInput = (
    ChannelArrived
    | ChannelEntered
    | ChannelRinging
    | ChannelAnswered
    | ChannelGone
    | PlaybackFinished
    | DigitReceived
    | ChannelHeld
    | ChannelUnheld
    | SwitchConnected
    | SwitchLost
)
