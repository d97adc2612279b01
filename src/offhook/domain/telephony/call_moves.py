"""The moves of a call: what happens to it, from whatever it came."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from offhook.domain.inputs import activeflow
from offhook.domain.inputs.call import (
    Answers,
    Begin,
    Doing,
    Echoes,
    HangsUp,
    Listens,
    Mutes,
    Plays,
    Sends,
    Speaks,
    Waits,
)
from offhook.domain.switch.commands import Answer, HangUp, Play, SendDigits, StopPlayback
from offhook.domain.telephony import controls, echo, talk
from offhook.domain.telephony.call_state import Answering, CallDraft, Echoing, Playing, Sending, Timer
from offhook.domain.telephony.hangup_reason import hang_up_cause, hangup_reason
from offhook.domain.times import rfc3339

# Before the first digit the switch waits for 100 ms (measured), and the last one must be out before a hang-up.
_DIGITS_LEAD = timedelta(milliseconds=200)


def go(draft: CallDraft) -> None:
    """The flow may begin."""
    if not draft.state.has_begun:
        draft.change(has_begun=True)
        # `call_ringing` shows the first action: until that is known the status stays.
        is_ringing = draft.state.has_rung and draft.state.call.status == "dialing"
        draft.tell_flow(activeflow.Go("ringing" if is_ringing else draft.state.call.status))


def ring(draft: CallDraft) -> None:
    """The far end rings, or an incoming caller hears ringing."""
    draft.show(status="ringing", tm_ringing=rfc3339(draft.now))
    draft.tell_customer("call_ringing")


def up(draft: CallDraft) -> None:
    """Both sides can talk. What has not rung yet is answered right after it has."""
    if draft.state.is_up:
        return
    draft.change(is_up=True)
    if draft.state.has_begun and not draft.state.is_ending:
        _answered(draft)


def begin(draft: CallDraft, told: Begin) -> None:
    """The flow has come to an action."""
    _leave(draft)
    draft.show(action=told.action)
    if isinstance(told.doing, Mutes):
        controls.mute(draft, "both")
    status = draft.state.call.status
    if status == "dialing" and draft.state.has_rung:
        ring(draft)
    if draft.state.is_up and status != "progressing":
        _answered(draft)
    # Of the others `call_answered` will show it; an answered call's `answer` is a step that nobody sees.
    is_update = isinstance(told.doing, Waits | Mutes | HangsUp) or (
        status == "progressing" and not isinstance(told.doing, Answers)
    )
    if is_update and draft.state.call.status == status:
        draft.tell_customer("call_updated")
    _carry_out(draft, told.turn, told.doing)


def end(draft: CallDraft, reason: str = "") -> None:
    """We want the call to end: an outgoing one that nobody answered is cancelled, any other one terminated.

    `reason` is shown when it has ended, and told to a caller who was not answered.
    """
    if draft.state.is_ending:
        return
    call = draft.state.call
    unanswered = call.direction == "outgoing" and call.status in ("dialing", "ringing")
    draft.show(status="canceling" if unanswered else "terminating")
    draft.tell_customer("call_updated")
    draft.change(wanted_reason=reason)
    draft.command(HangUp, cause=hang_up_cause(reason))
    draft.tell_flow(activeflow.Halt())


def time_out(draft: CallDraft) -> None:
    """It has lasted for too long. Its status stays until it is over."""
    draft.change(wanted_reason="timeout")
    draft.command(HangUp)
    draft.tell_flow(activeflow.Halt())


def over(draft: CallDraft, reason: str, *, by: str = "remote") -> None:
    """The call is over. One that we were ending has ended as we wanted."""
    state = draft.state
    if state.is_ending:
        reason, by = state.wanted_reason or hangup_reason(state.call), "local"
    if isinstance(state.work, Echoing):
        echo.tidy(draft, state.work)
    draft.rest()
    draft.show(status="hangup", hangup_by=by, hangup_reason=reason, tm_hangup=rfc3339(draft.now))
    draft.tell_customer("call_hungup")
    draft.tell_flow(activeflow.CallEnded())


def fail(draft: CallDraft, *, by: str) -> None:
    """The call is over as far as we are concerned; its channel, if there still is one, is ended."""
    draft.command(HangUp)
    over(draft, "failed", by=by)


def _answered(draft: CallDraft) -> None:
    draft.show(status="progressing", tm_progressing=rfc3339(draft.now))
    draft.tell_customer("call_answered")
    work = draft.state.work
    if not isinstance(work, Answering):
        return
    if not isinstance(work.doing, Answers):
        _carry_out(draft, work.turn, work.doing)
    elif work.is_done:
        # What follows the answer begins in a commit of its own.
        draft.timers[Timer.GO_ON] = draft.now


def _carry_out(draft: CallDraft, turn: int, doing: Doing) -> None:
    if not isinstance(doing, Waits | Mutes | HangsUp) and draft.state.call.status != "progressing":
        draft.change(work=Answering(turn, doing))
        draft.command(Answer)
        return
    match doing:
        case Waits():
            pass
        case Answers() | Mutes():
            draft.finish(turn)
        case Plays(media=media):
            talk.hush(draft)
            playback_id = draft.new_id()
            draft.change(work=Playing(turn, playback_id))
            draft.command(Play, playback_id=playback_id, media=media)
        case Speaks():
            talk.hush(draft)
            talk.begin(draft, turn, doing)
        case Echoes():
            talk.hush(draft)
            echo.begin(draft, turn)
        case Listens():
            draft.rest()
            draft.tell_flow(activeflow.Listening(turn, draft.state.call.status))
        case Sends():
            _send(draft, turn, doing)
        case HangsUp(reason=reason):
            end(draft, reason)
        case _:
            assert_never(doing)


def _send(draft: CallDraft, turn: int, doing: Sends) -> None:
    draft.command(SendDigits, digits=doing.digits, duration_ms=doing.duration_ms, interval_ms=doing.interval_ms)
    each = timedelta(milliseconds=doing.duration_ms + doing.interval_ms)
    draft.change(work=Sending(turn, draft.commands[-1].id, len(doing.digits) * each + _DIGITS_LEAD))


def _leave(draft: CallDraft) -> None:
    """End what the channel is at: something else begins."""
    work = draft.state.work
    if isinstance(work, Playing):
        draft.command(StopPlayback, playback_id=work.playback_id)
    elif isinstance(work, Echoing):
        echo.tidy(draft, work)
    draft.rest()
