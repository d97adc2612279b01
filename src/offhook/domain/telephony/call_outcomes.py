"""What a call makes of the ends of its commands.

A command's end and the switch's event about it may come in any order, or only one of them: both lead to the same place.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from offhook.domain.speech import Speak
from offhook.domain.step import Absent, Command, Done, Outcome, Refused, Superseded, Unavailable, Unknown
from offhook.domain.switch.commands import (
    Answer,
    Find,
    Follow,
    HangUp,
    Hold,
    Mute,
    Play,
    Ring,
    SendDigits,
    StartMusic,
    StartSilence,
    StopMusic,
    StopSilence,
    ToSwitch,
    Unhold,
    Unmute,
)
from offhook.domain.telephony import echo, talk
from offhook.domain.telephony.call_moves import go, over
from offhook.domain.telephony.call_state import Answering, CallDraft, Echoing, Playing, Sending, Timer
from offhook.domain.telephony.hangup_reason import hangup_reason

_AGAIN = timedelta(seconds=2)


def ended(draft: CallDraft, command: Command, outcome: Outcome) -> None:
    """A command of the call's ended."""
    match command:
        case Find():
            _found(draft, command, outcome)
        case HangUp(channel_id=channel_id):
            if channel_id == draft.state.channel_id:
                # Its end is told; in case that was lost. Asterisk says "gone" a moment before it is.
                draft.ask_later()
        case _ if draft.state.is_ending or isinstance(outcome, Superseded):
            pass
        case Speak():
            talk.spoken(draft, command, outcome)
        case ToSwitch():
            _done_at_switch(draft, command, outcome)
        case _:
            pass


def _done_at_switch(draft: CallDraft, command: ToSwitch, outcome: Outcome) -> None:
    match command:
        case Follow():
            _followed(draft, outcome)
        case Ring():
            _rung(draft, outcome)
        case Answer():
            _answer_ended(draft, outcome)
        case Play(playback_id=playback_id):
            _play_ended(draft, playback_id, outcome)
        case SendDigits():
            _digits_sent(draft, command, outcome)
        case Mute() | Unmute() | Hold() | Unhold() | StartMusic() | StopMusic() | StartSilence() | StopSilence():
            _turned(draft, outcome)
        case _:
            if isinstance(draft.state.work, Echoing):
                echo.ended(draft, draft.state.work, command, outcome)


def _turned(draft: CallDraft, outcome: Outcome) -> None:
    match outcome:
        case Absent():
            draft.ask()
        case Unavailable() | Unknown():
            # What is shown has to be so.
            draft.timers[Timer.TURN] = draft.now + _AGAIN
        case _:
            pass


def _followed(draft: CallDraft, outcome: Outcome) -> None:
    match outcome:
        case Done():
            pass
        case Absent():
            draft.ask()  # nobody will tell its end
        case _:
            draft.timers[Timer.FOLLOW] = draft.now + _AGAIN


def _rung(draft: CallDraft, outcome: Outcome) -> None:
    if isinstance(outcome, Absent):
        draft.ask(is_troubled=True)
        return
    draft.change(has_rung=isinstance(outcome, Done))
    go(draft)


def _answer_ended(draft: CallDraft, outcome: Outcome) -> None:
    work = draft.state.work
    if not isinstance(work, Answering):
        return
    if isinstance(outcome, Absent):
        draft.ask(is_troubled=True)
    elif isinstance(outcome, Done) and not draft.state.is_up:
        draft.change(work=replace(work, is_done=True))
    else:
        draft.finish(work.turn)


def _play_ended(draft: CallDraft, playback_id: str, outcome: Outcome) -> None:
    work = draft.state.work
    if not isinstance(work, Playing) or work.playback_id != playback_id or isinstance(outcome, Done):
        return
    if outcome == Absent("channel"):
        draft.ask(is_troubled=True)
    else:
        # Better to miss a prompt than to hear it twice.
        draft.finish(work.turn, outcome.reason if isinstance(outcome, Refused) else "")


def _digits_sent(draft: CallDraft, command: SendDigits, outcome: Outcome) -> None:
    work = draft.state.work
    if not isinstance(work, Sending) or work.command_id != command.id:
        return
    match outcome:
        case Done():
            draft.timers[Timer.GO_ON] = draft.now + work.takes
        case Absent():
            draft.ask(is_troubled=True)
        case Unknown():
            # Better to miss digits than to send them twice.
            draft.finish(work.turn)
        case _:
            draft.finish(work.turn, "The digits could not be sent.")


def _found(draft: CallDraft, command: Find, outcome: Outcome) -> None:
    work = draft.state.work
    match command.thing, outcome:
        case "playback", Done() | Superseded():
            pass
        case "playback", _:
            if isinstance(work, Playing) and work.playback_id == command.thing_id and not draft.state.is_ending:
                draft.finish(work.turn)
        case _, Absent():
            over(draft, hangup_reason(draft.state.call))
        case _, Done():
            _still_there(draft)
        case _:
            draft.change(is_asking=False)
            draft.ask_later()


def _still_there(draft: CallDraft) -> None:
    """The channel is there although we were told, or had reason to think, that it is not."""
    state, work = draft.state, draft.state.work
    draft.change(is_asking=False, is_troubled=False)
    if state.is_ending:
        draft.command(HangUp)
    elif not state.is_troubled:
        pass
    elif isinstance(work, Answering | Playing | Sending):
        draft.finish(work.turn)
    elif isinstance(work, Echoing):
        echo.again(draft, work)
    else:
        go(draft)
