"""The port to a phone system: what Offhook asks of a switch, and what a switch tells Offhook.

In the terms of SIP and Asterisk: a *channel* is one leg to a phone. Telephony rules live above this port.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Protocol

import msgspec

from offhook.domain.errors import NotFoundError, UnavailableError


class NoSuchChannelError(NotFoundError):
    """The channel is gone already. The switch tells so by itself, too."""

    default_reason = "CHANNEL_NOT_FOUND"


class SwitchUnavailableError(UnavailableError):
    """The switch cannot be reached, or failed at what it was asked."""

    default_reason = "SWITCH_UNAVAILABLE"


class HangUpReason(Enum):
    """What the far end is told; the values are Q.850 causes (ITU-T Q.850, table 1)."""

    NORMAL = 16
    BUSY = 17
    CONGESTION = 34


class Channel(msgspec.Struct, frozen=True):
    """A caller's leg. `dialled` is the user part of the request URI; all texts are the caller's own."""

    id: str
    is_up: bool
    caller_name: str
    caller_number: str
    dialled: str


class ChannelArrived(msgspec.Struct, frozen=True):
    """Somebody calls; nothing was answered yet. May be told twice."""

    channel: Channel


class ChannelRinging(msgspec.Struct, frozen=True):
    """The far end of an outgoing channel rings."""

    channel_id: str


class ChannelAnswered(msgspec.Struct, frozen=True):
    """The channel is up: both sides can talk."""

    channel_id: str


class PlaybackFinished(msgspec.Struct, frozen=True):
    """A playback came to its end, or was cut off."""

    channel_id: str
    playback_id: str


class ChannelGone(msgspec.Struct, frozen=True):
    """The channel ended. `cause` is Q.850's (0: none), `tech_cause` the SIP status (0: none, or not known)."""

    channel_id: str
    cause: int
    tech_cause: int


class SwitchConnected(msgspec.Struct, frozen=True):
    """The switch can be reached, at first or again. Nothing that happened meanwhile is told again.

    `channels` are the callers' legs that exist and are ours, `started_at` is when this switch process began.
    """

    channels: tuple[Channel, ...]
    started_at: datetime


class SwitchLost(msgspec.Struct, frozen=True):
    """The switch cannot be reached any more."""


SwitchInput = (
    ChannelArrived | ChannelRinging | ChannelAnswered | PlaybackFinished | ChannelGone | SwitchConnected | SwitchLost
)
Listener = Callable[[SwitchInput], None]


class Switch(Protocol):
    """A phone system. Commands raise NoSuchChannelError and SwitchUnavailableError, each within a few seconds."""

    @property
    def is_connected(self) -> bool:
        """Whether commands can succeed and inputs arrive right now."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every input from now on, in order. It must not block nor raise."""
        ...

    async def ring(self, channel_id: str) -> None:
        """Let an incoming caller hear ringing. May be repeated."""
        ...

    async def answer(self, channel_id: str) -> None:
        """Answer an incoming channel; ChannelAnswered follows. May be repeated."""
        ...

    async def hang_up(self, channel_id: str, reason: HangUpReason) -> None:
        """End a channel, or refuse it before the answer; ChannelGone follows."""
        ...

    async def play(self, channel_id: str, sound: str, playback_id: str) -> None:
        """Play one of the switch's own sounds; PlaybackFinished follows."""
        ...

    async def is_playing(self, playback_id: str) -> bool:
        """Whether that playback has not come to its end."""
        ...

    async def echo(self, channel_id: str) -> None:
        """Send back to the channel what is heard from it, until it ends. May be repeated."""
        ...
