"""What the switch has, beside what we know: what to tell whom when it is connected, at first or again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from offhook.domain.inputs.call import KIND, Lost, Present
from offhook.domain.step import Tell
from offhook.domain.switch.commands import Create, SwitchCommand
from offhook.domain.switch.inputs import Channel, ChannelAnswered, ChannelGone, SwitchConnected
from offhook.domain.telephony.call_state import CallState
from offhook.store.commit.port import Document, Row


class Reconciled(msgspec.Struct, frozen=True):
    """`tells` are what happened to the calls that we know while the switch was out of sight.

    `strangers` are callers of whom we know nothing: we were killed before their call was committed. `orphans` are
    channels that we made and that nobody has any use for.
    """

    tells: tuple[Tell, ...]
    strangers: tuple[Channel, ...]
    orphans: tuple[str, ...]


def reconcile(calls: Mapping[str, Row], known: Collection[str], connected: SwitchConnected) -> Reconciled:
    """`calls` are the rows of those that are not over, by id, `known` all channels of which anything is pending."""
    there = {channel.id: channel.is_up for channel in connected.callers}
    # Of a channel that we made it is not told whether it is up.
    there |= dict.fromkeys(connected.created, False)
    news = {call_id: _news(row.document, there, connected) for call_id, row in calls.items()}
    return Reconciled(
        tells=tuple(Tell(KIND, call_id, told) for call_id, told in news.items() if told is not None),
        strangers=tuple(channel for channel in connected.callers if channel.id not in known),
        orphans=tuple(channel_id for channel_id in connected.created if channel_id not in known),
    )


def missed(arriving: Collection[str], connected: SwitchConnected) -> list[ChannelAnswered | ChannelGone]:
    """What happened, while the switch was out of sight, to channels whose calls are not committed yet."""
    there = {channel.id: channel.is_up for channel in connected.callers}
    gone = [ChannelGone(connected.switch, channel_id) for channel_id in arriving if channel_id not in there]
    up = [ChannelAnswered(connected.switch, channel_id) for channel_id in arriving if there.get(channel_id)]
    return [*gone, *up]


def _news(
    document: Document[CallState, SwitchCommand], there: Mapping[str, bool], connected: SwitchConnected
) -> Present | ChannelGone | Lost | None:
    """What a call has to know; None if that is nothing."""
    state = document.state
    if state.switch != connected.switch:
        return None
    if state.channel_id in there:
        return Present(there[state.channel_id], connected.created)
    if any(isinstance(one.command, Create) and one.command.channel_id == state.channel_id for one in document.pending):
        # It is not gone: it is not there yet.
        return None
    if datetime.fromisoformat(state.call.tm_create) < connected.started_at:
        # This switch process is younger than the call: the one that had it died.
        return Lost()
    return ChannelGone(state.switch, state.channel_id)
