"""What the switch has, beside what we know: what to tell whom when it is connected, at first or again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from offhook.domain.inputs.call import KIND, Lost, Present
from offhook.domain.step import Tell
from offhook.domain.switch_inputs import Channel, ChannelGone, SwitchConnected
from offhook.domain.telephony.call_state import CallState


class Reconciled(msgspec.Struct, frozen=True):
    """`tells` are what happened to the calls that we know while the switch was out of sight.

    `strangers` are callers of whom we know nothing: we were killed before their call was committed. `orphans` are
    channels that we made and that nobody has any use for.
    """

    tells: tuple[Tell, ...]
    strangers: tuple[Channel, ...]
    orphans: tuple[str, ...]


def reconcile(calls: Mapping[str, CallState], known: Collection[str], connected: SwitchConnected) -> Reconciled:
    """`calls` are those of this switch that are not over, by id, `known` all channels of which anything is pending."""
    callers = {channel.id: channel for channel in connected.callers}
    return Reconciled(
        tells=tuple(Tell(KIND, call_id, _news(state, callers, connected)) for call_id, state in calls.items()),
        strangers=tuple(channel for channel in connected.callers if channel.id not in known),
        orphans=tuple(channel_id for channel_id in connected.created if channel_id not in known),
    )


def _news(state: CallState, callers: Mapping[str, Channel], connected: SwitchConnected) -> Present | ChannelGone | Lost:
    channel = callers.get(state.channel_id)
    if channel is not None:
        return Present(channel.is_up, connected.created)
    if datetime.fromisoformat(state.call.tm_create) < connected.started_at:
        # This switch process is younger than the call: the one that had it died.
        return Lost()
    return ChannelGone(state.switch, state.channel_id)
