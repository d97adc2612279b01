"""Echo: what the caller says comes back.

A switch has no command for it. The caller is put into a bridge with a channel whose far end sends back what it hears.
Each of the five commands is one request, and each wait a stage: the bridge and the channel are created; once the
channel has entered, both are put into the bridge; once they are in it, the channel is dialled. Wherever we are killed,
the commands that are pending are carried out after the restart, and `present` makes good what the switch said
meanwhile. Whatever fails is tidied up and begun anew with other ids.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from msgspec.structs import replace

from offhook.domain.step import Absent, Done, Outcome, Superseded
from offhook.domain.switch.commands import (
    ECHO,
    AddToBridge,
    Create,
    CreateBridge,
    DestroyBridge,
    Dial,
    HangUp,
    ToSwitch,
)
from offhook.domain.telephony.call_state import CallDraft, Echoing, Timer

_PATIENCE = timedelta(seconds=15)
_ATTEMPTS = 3


def begin(draft: CallDraft, turn: int, attempt: int = 1) -> None:
    """Make the bridge and the channel."""
    work = Echoing(turn, draft.new_id(), draft.new_id(), attempt)
    draft.change(work=work)
    draft.command(CreateBridge, bridge_id=work.bridge_id)
    draft.command(Create, work.channel_id, endpoint=ECHO, originator=draft.state.channel_id)
    draft.timers[Timer.ECHO] = draft.now + _PATIENCE


def entered(draft: CallDraft, work: Echoing) -> None:
    """The channel is there: put both into the bridge."""
    if work.stage != "creating":
        return
    draft.change(work=replace(work, stage="joining", has_channel=True))
    for member_id in (draft.state.channel_id, work.channel_id):
        draft.command(AddToBridge, bridge_id=work.bridge_id, member_id=member_id)


def ended(draft: CallDraft, work: Echoing, command: ToSwitch, outcome: Outcome) -> None:
    """One of its commands ended, or one of an earlier attempt's."""
    match command:
        case CreateBridge(bridge_id=bridge_id) | AddToBridge(bridge_id=bridge_id) if bridge_id != work.bridge_id:
            return
        case Create(channel_id=channel_id) | Dial(channel_id=channel_id) if channel_id != work.channel_id:
            return
        case CreateBridge() | AddToBridge() | Create() | Dial():
            pass
        case _:
            return
    match outcome:
        case Done():
            _done(draft, work, command)
        case Superseded():
            pass  # by the end of a channel, which is told by itself
        case Absent(thing="channel") if _is_about_caller(command, work):
            draft.ask(is_troubled=True)
        case _:
            again(draft, work)


def _is_about_caller(command: ToSwitch, work: Echoing) -> bool:
    return isinstance(command, Create) or (isinstance(command, AddToBridge) and command.member_id != work.channel_id)


def _done(draft: CallDraft, work: Echoing, command: ToSwitch) -> None:
    match command:
        case Create():
            draft.change(work=replace(work, has_channel=True))
        case AddToBridge():
            joined = replace(work, joined_count=work.joined_count + 1)
            if joined.joined_count == 2:
                joined = replace(joined, stage="dialling")
                draft.command(Dial, work.channel_id)
            draft.change(work=joined)
        case Dial():
            draft.change(work=replace(work, stage="echoing"))
            draft.timers[Timer.ECHO] = None
        case _:
            pass


def present(draft: CallDraft, work: Echoing, created: Collection[str]) -> None:
    """The switch was out of sight, and these channels that we made are there."""
    if work.channel_id in created:
        entered(draft, work)
    elif work.has_channel:
        again(draft, work)


def again(draft: CallDraft, work: Echoing) -> None:
    """It came to nothing: begin anew, unless that was tried often enough."""
    tidy(draft, work)
    if work.attempt < _ATTEMPTS:
        begin(draft, work.turn, work.attempt + 1)
    else:
        draft.finish(work.turn)


def tidy(draft: CallDraft, work: Echoing) -> None:
    """End what was made for it."""
    draft.command(HangUp, work.channel_id)
    draft.command(DestroyBridge, bridge_id=work.bridge_id)
    draft.timers[Timer.ECHO] = None
