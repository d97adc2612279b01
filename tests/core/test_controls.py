"""What is turned on and off while both sides talk, and the longest time that they may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import pytest

from offhook.domain.inputs.call import MuteAsked, SoundAsked
from offhook.domain.step import Absent, Delete, Done, Outcome, Refused, Unavailable, Unknown
from offhook.domain.switch.commands import Answer, Find, HangUp, Hold, Mute, SendDigits, StartMusic, Unmute
from offhook.domain.switch.inputs import ChannelHeld, ChannelUnheld
from offhook.domain.telephony.call_state import Playing
from offhook.store.commit.unit import Result
from tests.core.calls import CALL_ID, CHANNEL, RING_TIME, SWITCH, Calls
from tests.core.test_flows import actions_of, answered, calling, refusal, sleep
from tests.core.test_greeting import to_play, to_ringing

Sound = Literal["hold", "moh", "silence"]
Direction = Literal["in", "out", "both"]
HOUR = timedelta(hours=1)
TALKING = ({"type": "answer"}, sleep(3_600_000))


def talking() -> Calls:
    """A call that both sides talk on, with nothing else to do."""
    calls = answered(*TALKING)
    calls.wait(timedelta(0))
    assert calls.pending_kinds() == []
    return calls


def turn(calls: Calls, sound: Sound, *, is_on: bool = True) -> Result:
    return calls.ask("call", CALL_ID, SoundAsked(sound, is_on))


def mute(calls: Calls, direction: Direction = "both", *, is_on: bool = True) -> Result:
    return calls.ask("call", CALL_ID, MuteAsked(direction, is_on))


def done(calls: Calls) -> list[str]:
    """What was commanded since this was asked last: the kind, and the direction of a mute. All of it is carried out."""
    commands = [order.pending.command for order in calls.pending()]
    calls.end_all()
    return [" ".join((type(one).__name__, getattr(one, "direction", ""))).strip() for one in commands]


# Hold, music, silence


@pytest.mark.parametrize(
    ("sound", "on", "off"),
    [
        ("hold", ["Mute in", "Hold"], ["Unmute in", "Unhold"]),
        ("moh", ["StartMusic"], ["StopMusic"]),
        ("silence", ["StartSilence"], ["StopSilence"]),
    ],
)
def test_what_is_turned_on_is_shown_until_it_is_turned_off(sound: Sound, on: list[str], off: list[str]) -> None:
    calls = talking()
    before = len(calls.events)
    for _ in range(2):
        assert turn(calls, sound).is_done
    assert calls.call.metadata == {sound: True}
    assert done(calls) == on
    for _ in range(2):
        assert turn(calls, sound, is_on=False).is_done
    assert calls.call.metadata == {}
    assert done(calls) == off
    shown = [(type_, data["metadata"], data["mute_direction"]) for type_, _, data in calls.events[before:]]
    assert shown == [("call_updated", {sound: True}, ""), ("call_updated", {}, "")]


def test_silence_is_heard_before_music_and_music_again_after_what_ended_it() -> None:
    calls = talking()
    turn(calls, "moh")
    turn(calls, "hold")
    assert done(calls) == ["StartMusic", "Mute in", "Hold", "StartMusic"]
    turn(calls, "silence")
    assert done(calls) == ["StartSilence"]
    turn(calls, "hold", is_on=False)
    assert done(calls) == ["Unmute in", "Unhold", "StartSilence"]
    turn(calls, "silence", is_on=False)
    assert done(calls) == ["StopSilence", "StartMusic"]
    assert calls.call.metadata == {"moh": True}


def test_after_a_prompt_the_music_goes_on() -> None:
    calls = Calls()
    play = to_play(calls)
    turn(calls, "moh")
    calls.end(StartMusic)
    calls.played(play.playback_id)
    assert calls.pending_kinds()[0] == "StartMusic"
    assert calls.call.action.type == "echo"


# Mute


@pytest.mark.parametrize(("direction", "ways"), [("in", ["in"]), ("out", ["out"]), ("both", ["in", "out"])])
def test_a_mute_is_shown_until_it_ends(direction: Direction, ways: list[str]) -> None:
    calls = talking()
    before = len(calls.events)
    for _ in range(2):
        assert mute(calls, direction).is_done
    assert done(calls) == [f"Mute {way}" for way in ways]
    for _ in range(2):
        assert mute(calls, direction, is_on=False).is_done
    assert done(calls) == [f"Unmute {way}" for way in ways]
    assert [data["mute_direction"] for _, _, data in calls.events[before:]] == [direction, ""]


def test_each_way_is_muted_by_itself() -> None:
    calls = talking()
    mute(calls, "in")
    mute(calls, "out")
    assert done(calls) == ["Mute in", "Mute out"]
    assert calls.call.mute_direction == "both"
    mute(calls, "in", is_on=False)
    assert calls.call.mute_direction == "out"
    mute(calls)
    assert done(calls) == ["Unmute in", "Mute in"]


def test_hold_leaves_a_mute_as_it_was_and_the_contrary() -> None:
    calls = talking()
    mute(calls, "in")
    turn(calls, "hold")
    turn(calls, "hold", is_on=False)
    assert done(calls) == ["Mute in", "Hold", "Unhold"]
    assert calls.call.mute_direction == "in"
    turn(calls, "hold")
    mute(calls, is_on=False)
    assert done(calls) == ["Hold"]  # it is not heard as long as it is on hold
    turn(calls, "hold", is_on=False)
    assert done(calls) == ["Unmute in", "Unhold"]


# When there are no two sides


def test_what_is_not_in_progress_has_nothing_to_turn_on() -> None:
    calls = Calls()
    to_ringing(calls)
    before = len(calls.events)
    asked: list[Callable[[], Result]] = [
        lambda: turn(calls, "hold"),
        lambda: turn(calls, "moh", is_on=False),
        lambda: mute(calls),
    ]
    for ask in asked:
        assert (refusal(ask()).status, refusal(ask()).reason) == (409, "STATE_INVALID")
    assert len(calls.events) == before
    calls.hang_up()
    assert {refusal(ask()).status for ask in asked} == {409}
    calls.gone()
    assert {(refusal(ask()).status, refusal(ask()).reason) for ask in asked} == {(409, "STATE_INVALID")}


@pytest.mark.parametrize("kind", [Hold, Mute, Unmute])
def test_a_channel_that_is_not_found_when_it_is_muted_is_asked_for(kind: type) -> None:
    calls = talking()
    turn(calls, "hold")
    if kind is Unmute:
        calls.end_all()
        turn(calls, "hold", is_on=False)
    calls.end(kind, Absent("channel"))
    calls.end(Find, Absent("channel"))
    assert calls.call.status == "hangup"


def test_what_could_not_be_turned_on_or_off_is_so_later() -> None:
    calls = talking()
    turn(calls, "hold")
    calls.end(Hold, Unavailable())
    turn(calls, "silence")
    calls.end_all()
    calls.wait(timedelta(seconds=2))
    assert done(calls) == ["Mute in", "Unmute out", "Hold", "StartSilence"]
    turn(calls, "silence", is_on=False)
    turn(calls, "hold", is_on=False)
    calls.end(Unmute, Unavailable())
    calls.end_all()
    calls.wait(timedelta(seconds=2))
    assert done(calls) == ["Unmute in", "Unmute out", "Unhold"]
    calls.wait(timedelta(minutes=1))
    assert done(calls) == []


# The phone's own hold


def test_the_phones_own_hold_is_shown() -> None:
    calls = talking()
    before = len(calls.events)
    for told in (ChannelHeld, ChannelHeld, ChannelUnheld, ChannelUnheld):
        calls.hear(told(SWITCH, CHANNEL))
        calls.hear(told(SWITCH, "another"))
    assert [(type_, data["metadata"]) for type_, _, data in calls.events[before:]] == [
        ("call_updated", {"remote_hold": True}),
        ("call_updated", {}),
    ]
    assert calls.pending_kinds() == []


def test_a_phone_that_holds_while_it_is_hung_up_changes_nothing() -> None:
    calls = talking()
    calls.hang_up()
    before = len(calls.events)
    calls.hear(ChannelHeld(SWITCH, CHANNEL))
    assert len(calls.events) == before


# In flows


def test_the_action_mute_mutes_both_ways_in_one_event_and_goes_on() -> None:
    calls = answered({"type": "answer"}, {"type": "mute"}, {"type": "mute"}, sleep(1_000))
    calls.wait(timedelta(0))
    shown = [(action["type"], muted) for _, action, muted in calls.shown("call/", "action", "mute_direction")]
    assert shown[-4:] == [("answer", ""), ("mute", "both"), ("mute", "both"), ("sleep", "both")]
    assert done(calls) == ["Mute in", "Mute out"]


def test_mute_answers_nobody() -> None:
    calls = calling({"type": "mute"}, sleep(1_000))
    assert [
        (type_, action["type"], muted) for type_, action, muted in calls.shown("call/", "action", "mute_direction")
    ][1:] == [("call_ringing", "mute", "both"), ("call_updated", "sleep", "both")]
    assert done(calls) == ["Mute in", "Mute out"]


def test_a_beep_is_played_to_whoever_is_answered_first() -> None:
    calls = answered({"type": "beep"}, sleep(1_000))
    assert calls.types("call/")[-1] == "call_answered"
    assert isinstance(calls.work, Playing)
    (play,) = [order.pending.command for order in calls.pending()]
    assert play.media == ("sound:beep",)
    calls.played(calls.work.playback_id)
    assert calls.call.action.type == "sleep"


DIGITS = {"type": "digits_send", "option": {"digits": "15#", "duration": 200, "interval": 300}}


def test_digits_are_sent_once_answered_and_take_their_time() -> None:
    calls = answered(DIGITS, sleep(1_000))
    assert calls.types("call/")[-1] == "call_answered"
    calls.wait(timedelta(minutes=1))
    send = calls.end(SendDigits)
    assert (send.digits, send.duration_ms, send.interval_ms) == ("15#", 200, 300)
    calls.wait(timedelta(seconds=1.6))
    assert calls.call.action.type == "digits_send"
    calls.wait(timedelta(seconds=0.2))
    assert calls.call.action.type == "sleep"
    assert calls.pending_kinds() == []


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Unknown(), ""),
        (Refused("no"), "The digits could not be sent."),
        (Unavailable(), "The digits could not be sent."),
    ],
)
def test_digits_of_which_nothing_is_known_are_never_sent_again(outcome: Outcome, error: str) -> None:
    calls = answered(DIGITS, sleep(1_000))
    calls.end(SendDigits, outcome)
    assert calls.pending_kinds() == []
    assert calls.call.action.type == "sleep"
    assert [step.error for step in calls.flow.executed_actions] == [error]


def test_digits_for_a_channel_that_is_not_found_end_the_call_only_if_it_is_gone() -> None:
    calls = answered(DIGITS, sleep(1_000))
    calls.end(SendDigits, Absent("channel"))
    calls.end(Find, Done())
    assert calls.call.action.type == "sleep"


# The longest call


@pytest.mark.parametrize("status", ["dialing", "ringing", "progressing"])
def test_a_call_that_lasts_too_long_is_over_without_a_word_before(status: str) -> None:
    calls = Calls()
    if status == "dialing":
        calls.arrive()
    elif status == "ringing":
        calls = calling({"type": "block"})
    else:
        calls = answered({"type": "answer"}, {"type": "block"})
        calls.wait(timedelta(0))
    before = len(calls.events)
    calls.wait(HOUR - timedelta(seconds=1))
    assert "HangUp" not in calls.pending_kinds()
    calls.wait(timedelta(seconds=1))
    assert (calls.call.status, calls.pending_kinds()[-1]) == (status, "HangUp")
    calls.up()  # an answer that crosses it
    calls.hang_up()
    calls.end(HangUp)
    assert len(calls.events) == before
    calls.gone(cause=16)
    assert [type_ for type_, _, _ in calls.events[before:]] == ["call_hungup", "activeflow_deleted"]
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "timeout")


def test_the_longest_time_counts_from_the_callers_arrival() -> None:
    calls = Calls()
    calls.arrive(actions=actions_of({"type": "answer"}, {"type": "block"}))
    calls.wait(timedelta(minutes=59))
    calls.end_all()
    calls.up()
    calls.end(Answer)
    assert calls.call.status == "progressing"
    calls.wait(timedelta(minutes=1))
    assert "HangUp" in calls.pending_kinds()


def test_a_call_that_is_ended_is_not_ended_again_when_it_has_lasted_too_long() -> None:
    calls = Calls()
    to_ringing(calls)
    calls.wait(RING_TIME)
    calls.hang_up()
    calls.wait(HOUR)
    calls.gone()
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "normal")
    assert calls.timers() == []


# Deleting


def test_a_live_call_that_is_deleted_is_hidden_at_once_and_its_end_is_told_as_any() -> None:
    calls = talking()
    before = len(calls.events)
    assert calls.ask("call", CALL_ID, Delete()).states[0].call.tm_delete
    assert refusal(calls.ask("call", CALL_ID, Delete())).reason == "STATE_INVALID"
    assert calls.pending_kinds() == ["HangUp"]
    calls.gone()
    shown = [
        (type_, data["status"], bool(data["tm_delete"]))
        for type_, about, data in calls.events[before:]
        if "call/" in about
    ]
    assert shown == [("call_updated", "terminating", False), ("call_hungup", "hangup", True)]
    assert refusal(calls.ask("call", CALL_ID, Delete())).status == 409
