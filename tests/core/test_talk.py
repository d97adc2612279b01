"""What a call does to speak, command by command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from offhook.domain.inputs.call import Present
from offhook.domain.speech import Speak
from offhook.domain.step import Absent, Done, Outcome, Refused, Unavailable, Unknown
from offhook.domain.switch.commands import Answer, Find, HangUp, Play, StopPlayback
from offhook.domain.telephony.call_state import Echoing, Idle, Playing, Speaking
from tests.core.calls import CALL_ID, CHANNEL, FLOW_ID, Calls
from tests.core.test_flows import ASK, answered, calling, executed, sleep, typed

SOUND = "sound:/data/speech/ab12"


def talk(text: str = "Hello.", *, is_async: bool = False, **option: str) -> dict[str, Any]:
    return {"type": "talk", "option": {"text": text, "async": is_async, **option}}


def heard(*actions: dict[str, Any]) -> tuple[Calls, str]:
    """A caller who hears the first action; its playback."""
    calls = answered(*actions)
    calls.end(Speak, Done(SOUND))
    play = calls.end(Play)
    assert isinstance(play, Play)
    return calls, play.playback_id


def errors(calls: Calls) -> list[str]:
    return [action.error for action in calls.flow.executed_actions]


def stopped(calls: Calls) -> list[str]:
    """The playbacks that are being cut off."""
    commands = [order.pending.command for order in calls.pending()]
    return [command.playback_id for command in commands if isinstance(command, StopPlayback)]


def test_a_talk_answers_then_speaks_then_is_heard_and_then_the_flow_goes_on() -> None:
    calls = calling(talk(language="de-DE", voice_id="f3", provider="gcp"), sleep(1_000))
    assert calls.pending_kinds() == ["Answer"]
    calls.up()
    calls.end(Answer)
    assert calls.types("call/") == ["call_created", "call_ringing", "call_answered"]
    assert calls.pending_kinds() == ["Speak"]
    speak = calls.end(Speak, Done(SOUND))
    assert (speak.text, speak.language, speak.voice) == ("Hello.", "de-DE", "f3")
    play = calls.end(Play)
    assert (play.media, play.channel_id) == ((SOUND,), CHANNEL)
    calls.wait(timedelta(minutes=20))
    assert calls.call.action.type == "talk"
    calls.played(play.playback_id)
    assert calls.call.action.type == "sleep"
    assert calls.types("call/")[3:] == ["call_updated"]
    assert errors(calls) == [""]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Refused("language_not_supported"), "language_not_supported"),
        (Unavailable(), "speech_failed"),
        (Unknown(), "speech_failed"),
    ],
)
def test_what_cannot_be_spoken_says_why_and_the_flow_goes_on(outcome: Outcome, error: str) -> None:
    for is_async in (False, True):
        calls = answered(talk(is_async=is_async), sleep(1_000))
        calls.end(Speak, outcome)
        assert calls.pending_kinds() == []
        assert calls.call.action.type == "sleep"
        assert errors(calls) == [error]


def test_a_sound_that_was_not_heard_is_a_failed_action() -> None:
    calls, playback_id = heard(talk(), sleep(1_000))
    calls.played(playback_id, has_failed=True)
    calls.wait(timedelta(seconds=0.2))
    assert errors(calls) == ["The sound could not be played."]


def test_a_sound_that_the_switch_does_not_play_is_a_failed_action() -> None:
    calls = answered(talk(), sleep(1_000))
    calls.end(Speak, Done(SOUND))
    calls.end(Play, Refused("no"))
    assert errors(calls) == ["no"]


def test_a_text_that_its_variables_make_too_long_is_a_failed_action() -> None:
    setting = {"type": "variable_set", "option": {"key": "a", "value": "a" * 20_001}}
    calls = answered({"type": "answer"}, setting, talk("${a}"), sleep(1_000))
    calls.wait(timedelta(0))
    assert calls.call.action.type == "sleep"
    assert errors(calls) == ["", "", "text has more than 20000 bytes."]


def test_variables_in_markup_cannot_be_markup() -> None:
    setting = {"type": "variable_set", "option": {"key": "a", "value": "<break time='9s'/> & more"}}
    calls = answered({"type": "answer"}, setting, talk("<speak>${a}</speak>"))
    calls.wait(timedelta(0))
    text = calls.end(Speak, Done(SOUND)).text
    assert text == "<speak>&lt;break time=&#x27;9s&#x27;/&gt; &amp; more</speak>"


# Digits


def test_without_next_a_digit_ends_nothing_and_counts_for_the_next_question() -> None:
    calls, playback_id = heard(talk(), ASK, sleep(5_000))
    typed(calls, "1")
    assert calls.pending_kinds() == []
    calls.played(playback_id)
    assert calls.state("activeflow", FLOW_ID).execution.digits == "1"
    typed(calls, "2")
    assert calls.call.action.option == {"duration": 5_000}


def test_with_next_a_digit_ends_what_is_heard_and_counts_for_the_next_question() -> None:
    calls, playback_id = heard(talk(digits_handle="next"), ASK, sleep(5_000))
    typed(calls, "1")
    assert stopped(calls) == [playback_id]
    assert calls.call.action.type == "digits_receive"
    calls.end(StopPlayback)
    calls.played(playback_id)
    typed(calls, "2")
    assert calls.call.action.option == {"duration": 5_000}
    assert errors(calls) == ["", ""]


def test_with_next_a_digit_ends_what_is_not_even_heard_yet() -> None:
    calls = answered(talk(digits_handle="next"), ASK)
    typed(calls, "1")
    assert calls.call.action.type == "digits_receive"
    calls.end(Speak, Done(SOUND))
    assert calls.pending_kinds() == []
    assert calls.state("activeflow", FLOW_ID).execution.digits == "1"


def test_what_was_typed_before_the_talk_is_no_answer_to_it() -> None:
    calls = answered({"type": "answer"}, sleep(1_000), talk(), ASK)
    calls.wait(timedelta(0))
    typed(calls, "12")
    calls.wait(timedelta(seconds=1))
    calls.end(Speak, Done(SOUND))
    calls.played(calls.end(Play).playback_id)
    assert calls.call.action.type == "digits_receive"
    assert calls.state("activeflow", FLOW_ID).execution.digits == ""


# Async


def test_with_async_the_flow_goes_on_while_it_is_heard() -> None:
    calls, playback_id = heard(talk(is_async=True), ASK, sleep(2_000), {"type": "echo", "option": {}})
    assert calls.call.action.type == "digits_receive"
    typed(calls, "12")
    assert calls.call.action.type == "sleep"
    assert stopped(calls) == []
    calls.wait(timedelta(seconds=2))
    assert stopped(calls) == [playback_id]
    assert isinstance(calls.work, Echoing)


def test_with_async_and_next_a_digit_ends_it_and_the_question_goes_on() -> None:
    calls, playback_id = heard(talk(is_async=True, digits_handle="next"), ASK)
    typed(calls, "1")
    assert stopped(calls) == [playback_id]
    assert calls.call.action.type == "digits_receive"
    typed(calls, "3")
    assert stopped(calls) == [playback_id]


def test_one_talk_ends_another_that_is_still_heard() -> None:
    calls, playback_id = heard(talk(is_async=True), talk("More."))
    assert calls.pending_kinds() == ["StopPlayback", "Speak"]
    calls.end(StopPlayback)
    calls.played(playback_id)
    assert isinstance(calls.work, Speaking)


def test_one_that_was_heard_to_its_end_is_not_cut_off() -> None:
    calls, playback_id = heard(talk(is_async=True), sleep(1_000), talk("More."))
    calls.played(playback_id)
    calls.wait(timedelta(seconds=1))
    assert stopped(calls) == []


# Ends


def test_a_caller_who_leaves_while_it_is_being_made_ends_the_call_at_once() -> None:
    calls = answered(talk(), sleep(1_000))
    calls.gone(cause=16)
    assert calls.call.status == "hangup"
    calls.end(Speak, Done(SOUND))
    assert calls.pending_kinds() == []
    assert executed(calls) == ["talk"]


def test_a_call_is_hung_up_without_waiting_for_what_is_being_made() -> None:
    calls = answered(talk(), sleep(1_000))
    calls.hang_up()
    (speak, hang_up) = [order.pending.command for order in calls.pending()]
    assert isinstance(hang_up, HangUp)
    assert speak.lane != hang_up.lane
    calls.end(Speak, Done(SOUND))
    assert [kind for kind in calls.pending_kinds() if kind == "Play"] == []
    calls.gone(cause=16)
    assert isinstance(calls.work, Idle)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_ends_while_it_is_heard_ends_as_any_other(is_async: bool) -> None:
    calls, playback_id = heard(talk(is_async=is_async), sleep(60_000))
    calls.played(playback_id, has_failed=True)
    calls.gone(cause=16)
    calls.wait(timedelta(seconds=1))
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("remote", "normal")
    assert executed(calls) == (["talk", "sleep"] if is_async else ["talk"])
    assert set(errors(calls)) == {""}


# After a restart


def test_what_was_being_made_is_made_again_after_a_restart() -> None:
    calls = answered(talk(), sleep(1_000))
    calls.tell("call", CALL_ID, Present(is_up=True))
    assert calls.pending_kinds() == ["Speak"]
    calls.end(Speak, Done(SOUND))
    assert calls.pending_kinds() == ["Play"]


@pytest.mark.parametrize("is_there", [True, False])
def test_what_was_heard_is_looked_for_after_a_restart_and_never_repeated(is_there: bool) -> None:
    calls, playback_id = heard(talk(), sleep(1_000))
    calls.tell("call", CALL_ID, Present(is_up=True))
    assert calls.end(Find, Done() if is_there else Absent("playback")).thing_id == playback_id
    assert isinstance(calls.work, Playing) == is_there
    assert calls.pending_kinds() == []
    assert calls.call.action.type == ("talk" if is_there else "sleep")
