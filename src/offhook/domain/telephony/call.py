"""A call's life: what each input changes, which event it causes and what is commanded.

Theory of operation. A call moves along the statuses of facts, section 4.1; `hangup` is final. What is to happen on the
channel is its activeflow's to say (`Begin`), what happened there the switch's. An incoming call is rung; when that is
done the flow is told to go, and its first action is shown by `call_ringing` in the same unit. An action that needs an
answered call has it answered first, and is then shown by `call_answered`; any other is a `call_updated`.

A thing that is not found is no end of a call. Only its own channel's end is: told by the switch, or found by asking
for just that channel (`CallDraft.ask`), which is done whenever there is doubt.

The moves are in `call_moves`, what is made of a command's end in `call_outcomes`, echo in `echo`, what is turned on and
off in `controls`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import assert_never

from offhook.domain.catalogue.call import Call
from offhook.domain.catalogue.fields import NO_ACTION
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import activeflow
from offhook.domain.inputs.call import (
    KIND,
    Arrived,
    Begin,
    Control,
    FlowEnded,
    HangUpAsked,
    Lost,
    MuteAsked,
    Present,
    SoundAsked,
)
from offhook.domain.noun import Noun
from offhook.domain.step import Broken, Delete, Due, Ended, Refusal, Step, made_id
from offhook.domain.switch.commands import Find, Follow, Ring
from offhook.domain.switch.inputs import (
    ChannelAnswered,
    ChannelEntered,
    ChannelGone,
    ChannelHeld,
    ChannelRinging,
    ChannelUnheld,
    DigitReceived,
    PlaybackFinished,
)
from offhook.domain.telephony import controls, echo, talk
from offhook.domain.telephony.address import address_of
from offhook.domain.telephony.call_moves import begin, end, fail, over, ring, time_out, up
from offhook.domain.telephony.call_outcomes import ended
from offhook.domain.telephony.call_state import Answering, CallDraft, CallState, Echoing, Playing, Sending, Timer
from offhook.domain.telephony.call_variables import variables_of
from offhook.domain.telephony.hangup_reason import hangup_reason
from offhook.domain.times import rfc3339

Heard = (
    ChannelEntered
    | ChannelRinging
    | ChannelAnswered
    | ChannelGone
    | ChannelHeld
    | ChannelUnheld
    | PlaybackFinished
    | DigitReceived
    | Present
    | Lost
)
"""What is said of the call's channels."""

Input = Arrived | Heard | HangUpAsked | Control | Delete | Begin | FlowEnded | Ended | Due
"""What a call can be told."""

# A playback fails when its channel ends, and that is told only afterwards.
_GRACE = timedelta(milliseconds=100)


def decide(state: CallState | None, told: Input, now: datetime) -> Step[CallState]:
    """What a call becomes of an input, and what that causes."""
    if state is None:
        assert isinstance(told, Arrived)
        return _arrived(told, now)
    draft = CallDraft(state, now)
    match told:
        case HangUpAsked():
            end(draft)
        case SoundAsked() | MuteAsked():
            controls.control(draft, told)
        case Delete():
            return _deleted(draft)
        case Begin():
            if not state.is_ending:
                begin(draft, told)
        case FlowEnded(has_failed=has_failed):
            _flow_ended(draft, has_failed=has_failed)
        case Ended(command=command, outcome=outcome):
            ended(draft, command, outcome)
        case Due(name=name):
            _due(draft, name)
        case Arrived():
            pass
        case _:
            _hear(draft, told)
    return draft.step()


def is_final(state: CallState) -> bool:
    """Whether it is over: nothing of it changes any more."""
    return state.call.status == "hangup"


def broken(state: CallState, told: Broken, now: datetime) -> Step[CallState]:
    """End it as failed, whatever it was at."""
    del told
    draft = CallDraft(state, now)
    fail(draft, by="local")
    return draft.step()


CALL: Noun[CallState] = Noun(
    kind=KIND,
    state_type=CallState,
    decide=decide,
    is_final=is_final,
    broken=broken,
    customer_of=lambda state: state.call.customer_id,
    creates=(Arrived,),
    forgives=(HangUpAsked,),
    is_hidden=lambda state: state.call.tm_delete is not None,
    waits_for=lambda state: state.switch,
)
"""The call in the registry."""


def _arrived(told: Arrived, now: datetime) -> Step[CallState]:
    channel = told.channel
    call = Call(
        id=told.id,
        customer_id=told.customer_id,
        owner_type="",
        owner_id=NIL_UUID,
        flow_id=told.flow_id,
        activeflow_id=made_id(told.id, 1),
        type="flow",
        chained_call_ids=[],
        recording_ids=[],
        source=address_of(channel.caller_number, channel.caller_name),
        destination=address_of(told.number or channel.dialled),
        status="dialing",
        action=NO_ACTION,
        metadata={},
        direction="incoming",
        tm_create=rfc3339(now),
        tm_update=None,
    )
    state = CallState(call=call, switch=channel.switch, channel_id=channel.id, made=1, is_up=channel.is_up)
    draft = CallDraft(state, now)
    draft.tell_customer("call_created")
    draft.tell_flow(
        activeflow.Start(
            call.activeflow_id,
            call.customer_id,
            call.id,
            told.actions,
            flow_id=call.flow_id,
            on_complete_flow_id=told.on_complete_flow_id,
            known=variables_of(call),
            switch=state.switch,
        )
    )
    draft.command(Follow)
    draft.command(Ring)
    draft.timers[Timer.LONGEST] = now + told.max_time
    return draft.step()


def _hear(draft: CallDraft, told: Heard) -> None:
    state = draft.state
    match told:
        case ChannelAnswered() | ChannelHeld() | ChannelUnheld() | DigitReceived():
            if told.channel_id == state.channel_id:
                _hear_own(draft, told)
        case ChannelEntered(channel_id=channel_id):
            if isinstance(state.work, Echoing) and channel_id == state.work.channel_id and not state.is_ending:
                echo.entered(draft, state.work)
        case ChannelRinging():
            pass  # no channel of ours is dialled before the caller is answered
        case ChannelGone():
            _channel_gone(draft, told)
        case PlaybackFinished():
            _playback_finished(draft, told)
        case Present(is_up=is_up, created=created):
            _present(draft, created, is_up=is_up)
        case Lost():
            fail(draft, by="remote")
        case _:
            assert_never(told)


def _hear_own(draft: CallDraft, told: ChannelAnswered | ChannelHeld | ChannelUnheld | DigitReceived) -> None:
    match told:
        case ChannelAnswered():
            up(draft)
        case ChannelHeld() | ChannelUnheld():
            controls.held(draft, is_held=isinstance(told, ChannelHeld))
        case DigitReceived(digit=digit):
            if not draft.state.is_ending:
                draft.tell_flow(activeflow.Typed(digit))
                talk.typed(draft)
        case _:
            assert_never(told)


def _channel_gone(draft: CallDraft, told: ChannelGone) -> None:
    state = draft.state
    if told.channel_id == state.channel_id:
        over(draft, hangup_reason(state.call, told.cause, told.tech_cause))
    elif isinstance(state.work, Echoing) and told.channel_id == state.work.channel_id and not state.is_ending:
        echo.again(draft, state.work)


def _playback_finished(draft: CallDraft, told: PlaybackFinished) -> None:
    if draft.state.beside is not None and draft.state.beside.playback_id == told.playback_id:
        draft.change(beside=None)
    if draft.state.is_ending:
        return
    controls.resume(draft)
    work = draft.state.work
    if not isinstance(work, Playing) or work.playback_id != told.playback_id:
        return
    if told.has_failed:
        draft.timers[Timer.SILENT] = draft.now + _GRACE
    else:
        draft.finish(work.turn)


def _present(draft: CallDraft, created: Collection[str], *, is_up: bool) -> None:
    if is_up:
        up(draft)
    work = draft.state.work
    if draft.state.is_ending:
        return
    if isinstance(work, Playing):
        draft.command(Find, thing="playback", thing_id=work.playback_id)
    elif isinstance(work, Echoing):
        echo.present(draft, work, created)


def _flow_ended(draft: CallDraft, *, has_failed: bool) -> None:
    if has_failed:
        fail(draft, by="local")
        return
    if draft.state.call.status == "dialing" and draft.state.has_rung:
        ring(draft)
    end(draft)


def _due(draft: CallDraft, name: str) -> None:
    work = draft.state.work
    match name:
        case Timer.ASK:
            draft.ask()
        case _ if draft.state.is_ending:
            pass
        case Timer.GO_ON:
            if isinstance(work, Answering | Sending):
                draft.finish(work.turn)
        case Timer.SILENT:
            if isinstance(work, Playing):
                draft.finish(work.turn, "The sound could not be played.")
        case Timer.LONGEST:
            time_out(draft)
        case Timer.TURN:
            controls.turn_again(draft)
        case Timer.FOLLOW:
            draft.command(Follow)
        case Timer.ECHO:
            if isinstance(work, Echoing):
                echo.again(draft, work)
        case _:
            pass


def _deleted(draft: CallDraft) -> Step[CallState]:
    """A live call is hung up first, and hidden at once."""
    call = draft.state.call
    if call.tm_delete is not None:
        return Step(draft.state, refused=Refusal(409, "STATE_INVALID", f"The call {call.id} was deleted already."))
    if not is_final(draft.state):
        end(draft)
    draft.show(tm_delete=rfc3339(draft.now))
    return draft.step()
