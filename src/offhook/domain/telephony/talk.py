"""What a call does to speak: the text becomes a sound (`Speak`), and that is played like any other.

A sound that is made again, after a restart or a fault, is the same one; a playback is never repeated. A talk whose
action does not wait for it is `beside` the work once it is heard. A digit that ends a talk ends it wherever it is.
"""

from __future__ import annotations

from offhook.domain.inputs.call import Speaks
from offhook.domain.speech import Speak
from offhook.domain.step import Done, Outcome, Refused
from offhook.domain.switch.commands import Play, StopPlayback
from offhook.domain.telephony.call_state import CallDraft, Playing, Speaking


def begin(draft: CallDraft, turn: int, doing: Speaks) -> None:
    """Have the text made to sound."""
    speak = Speak(id=draft.new_id(), text=doing.text, language=doing.language, voice=doing.voice)
    draft.change(work=Speaking(turn, speak.id, ends_by_digit=doing.digits_handle == "next", is_async=doing.is_async))
    draft.commands.append(speak)


def spoken(draft: CallDraft, command: Speak, outcome: Outcome) -> None:
    """The sound is there, or cannot be made."""
    work = draft.state.work
    if not isinstance(work, Speaking) or work.speak_id != command.id:
        return
    if not isinstance(outcome, Done):
        draft.finish(work.turn, outcome.reason if isinstance(outcome, Refused) else "speech_failed")
        return
    playing = Playing(work.turn, draft.new_id(), work.ends_by_digit)
    draft.change(work=playing)
    draft.command(Play, playback_id=playing.playback_id, media=(outcome.made,))
    if work.is_async:
        draft.change(beside=playing)
        draft.finish(work.turn)


def typed(draft: CallDraft) -> None:
    """A digit ends a talk that is to end by one."""
    work, beside = draft.state.work, draft.state.beside
    if beside is not None and beside.ends_by_digit:
        hush(draft)
    if isinstance(work, Playing) and work.ends_by_digit:
        draft.command(StopPlayback, playback_id=work.playback_id)
        draft.finish(work.turn)
    elif isinstance(work, Speaking) and work.ends_by_digit:
        draft.finish(work.turn)


def hush(draft: CallDraft) -> None:
    """Something else is to be heard."""
    beside = draft.state.beside
    if beside is not None:
        draft.command(StopPlayback, playback_id=beside.playback_id)
        draft.change(beside=None)
