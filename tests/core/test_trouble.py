"""Calls in trouble: what is not found, not answered, not told, or told late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from offhook.domain.catalogue.fields import Action
from offhook.domain.inputs.call import Begin, Echoes, Lost, Present, Waits
from offhook.domain.step import (
    Absent,
    Delete,
    Done,
    Outcome,
    Refused,
    Superseded,
    Unavailable,
    Unknown,
    made_id,
)
from offhook.domain.switch.commands import (
    AddToBridge,
    Answer,
    Create,
    CreateBridge,
    Dial,
    Find,
    Follow,
    HangUp,
    Play,
    Ring,
    StopPlayback,
)
from offhook.domain.telephony.call_state import Timer
from tests.core.calls import CALL_ID, CHANNEL, GREETING, RING_TIME, Calls
from tests.core.test_greeting import to_creating, to_echo, to_play, to_ringing

NOT_FOUND = Absent("channel")


# A thing that is not found is no end of a call


@pytest.mark.parametrize("kind", [Follow, Ring, Answer, Play, Create, AddToBridge, HangUp])
def test_a_channel_that_is_not_found_is_asked_for_and_only_its_absence_ends_the_call(kind: type) -> None:
    calls = Calls()
    calls.arrive()
    for step in (Follow, Ring, Answer, Play, CreateBridge, Create, AddToBridge):
        if step is kind:
            break
        calls.end(step)
        if step is Ring:
            calls.wait(RING_TIME)
        elif step is Answer:
            calls.up()
            calls.wait(timedelta(0))
        elif step is Play:
            calls.played(calls.work.playback_id)
        elif step is Create:
            calls.entered(calls.work.channel_id)
    if kind is HangUp:
        calls.hang_up()
    calls.end(kind, NOT_FOUND)
    if kind is HangUp:
        # The switch says so a moment before it is gone, and tells that by itself.
        assert "Find" not in calls.pending_kinds()
        calls.wait(timedelta(seconds=2))
    assert "call_hungup" not in calls.types()
    assert calls.pending_kinds().count("Find") == 1
    assert calls.end(Find, NOT_FOUND).thing_id == CHANNEL
    assert calls.types("call/")[-1] == "call_hungup"
    assert calls.call.hangup_by == ("local" if kind is HangUp else "remote")


@pytest.mark.parametrize(("kind", "action"), [(Ring, "sleep"), (Answer, "play"), (Play, "echo")])
def test_a_channel_that_was_not_found_and_is_there_goes_on(kind: type, action: str) -> None:
    calls = Calls()
    calls.arrive()
    if kind is not Ring:
        calls.end(Ring)
        calls.wait(RING_TIME)
    if kind is Play:
        calls.up()
        calls.end(Answer)
    calls.end(kind, NOT_FOUND)
    calls.end(Find)
    assert calls.flow.current_action.type == action
    assert not calls.state("call", CALL_ID).is_troubled


@pytest.mark.parametrize("outcome", [Absent("playback"), Refused("no such sound"), Unavailable(), Unknown()])
def test_a_prompt_of_which_nothing_is_known_is_over_and_never_played_again(outcome: Outcome) -> None:
    calls = Calls()
    to_ringing(calls)
    calls.wait(RING_TIME)
    calls.up()
    calls.end(Answer)
    calls.end(Play, outcome)
    assert "Play" not in calls.pending_kinds()
    assert calls.call.action.type == "echo"


def test_a_prompt_that_fails_because_the_caller_left_does_not_move_the_flow() -> None:
    calls = Calls()
    play = to_play(calls)
    calls.played(play.playback_id, has_failed=True)
    calls.gone()
    assert calls.types("call/")[-2:] == ["call_updated", "call_hungup"]
    assert calls.call.action.type == "play"


def test_a_prompt_that_fails_is_followed_by_the_next_action() -> None:
    calls = Calls()
    play = to_play(calls)
    calls.played(play.playback_id, has_failed=True)
    calls.wait(timedelta(seconds=0.1))
    assert calls.call.action.type == "echo"


def test_the_end_of_one_prompt_is_not_taken_for_that_of_another() -> None:
    calls = Calls()
    play = to_play(calls)
    calls.played(made_id(CALL_ID, 99))
    assert calls.call.action.type == "play"
    calls.played(play.playback_id)
    calls.played(play.playback_id)
    assert calls.types("call/").count("call_updated") == 2


def test_a_flow_that_plays_the_same_prompt_twice_in_a_loop_plays_it_twice() -> None:
    first, again = made_id(CALL_ID, 1_001), made_id(CALL_ID, 1_002)
    option = {"stream_urls": ["sound:hello-world"]}
    loop = (
        Action(id=first, type="play", option=option, tm_execute=None),
        Action(id=again, next_id=first, type="play", option=option, tm_execute=None),
    )
    calls = Calls()
    calls.arrive(actions=loop)
    calls.end(Ring)
    calls.up()
    played = []
    for _ in range(5):
        play = calls.end(Play)
        calls.played(play.playback_id)
        played.append(play.playback_id)
    assert len(set(played)) == 5
    assert calls.shown("call/", "action")[-1][1]["type"] == "play"
    assert calls.types("call/").count("call_updated") == 5  # the first one is shown by call_answered
    assert len({order.pending.command.id for order in calls.orders}) == len(calls.orders)


def test_an_action_that_another_one_follows_too_early_is_cut_off() -> None:
    calls = Calls()
    play = to_play(calls)
    calls.hear(Begin(9, GREETING[3], Echoes()))
    assert calls.end(StopPlayback).playback_id == play.playback_id
    bridge = calls.work.bridge_id
    calls.hear(Begin(10, GREETING[0], Waits()))
    assert calls.pending_kinds() == ["CreateBridge", "Create", "HangUp", "DestroyBridge"]
    assert calls.pending()[-1].pending.command.bridge_id == bridge
    calls.played(play.playback_id)
    assert calls.types("activeflow/").count("activeflow_updated") == 3


# What could not be done


def test_a_call_that_could_not_be_rung_is_answered_all_the_same() -> None:
    calls = Calls()
    calls.arrive()
    calls.end(Ring, Unavailable())
    calls.wait(RING_TIME)
    calls.up()
    calls.end(Answer)
    assert calls.shown("call/", "status")[1:4] == [
        ("call_updated", "dialing"),
        ("call_answered", "progressing"),
        ("call_updated", "progressing"),
    ]


def test_a_caller_who_is_up_before_it_has_rung_rings_and_is_answered() -> None:
    calls = Calls()
    calls.arrive(is_up=True)
    calls.up()
    assert calls.types("call/") == ["call_created"]
    calls.end(Ring)
    assert calls.types("call/") == ["call_created", "call_ringing", "call_answered"]
    calls.wait(RING_TIME)
    assert calls.types("call/")[-1] == "call_updated"
    assert calls.call.action.type == "play"


def test_a_channel_that_could_not_be_followed_is_followed_later() -> None:
    calls = Calls()
    calls.arrive()
    calls.end(Follow, Unavailable())
    assert calls.pending_kinds() == ["Ring"]
    calls.wait(timedelta(seconds=2))
    assert calls.pending_kinds() == ["Ring", "Follow"]


def test_a_hang_up_whose_effect_is_never_told_is_asked_about() -> None:
    calls = Calls()
    to_ringing(calls)
    calls.hang_up()
    calls.end(HangUp)
    calls.wait(timedelta(seconds=2))
    calls.end(Find, Unavailable())
    calls.wait(timedelta(seconds=2))
    calls.end(Find, Superseded())
    calls.wait(timedelta(seconds=2))
    calls.end(Find, Done())
    assert calls.pending_kinds() == ["HangUp"]  # it is still there
    calls.end(HangUp)
    calls.wait(timedelta(seconds=2))
    calls.end(Find, NOT_FOUND)
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "normal")
    assert calls.types("call/").count("call_updated") == 1


def test_a_call_whose_switch_died_has_failed_and_its_channel_is_ended_if_there_is_one() -> None:
    calls = Calls()
    to_play(calls)
    calls.hear(Lost())
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("remote", "failed")
    assert calls.pending_kinds() == ["HangUp"]


def test_a_deleted_call_is_hung_up_first_and_hidden_at_once() -> None:
    calls = Calls()
    to_ringing(calls)
    assert calls.ask("call", CALL_ID, Delete()).states[0].call.tm_delete
    assert calls.types("call/")[-1] == "call_updated"
    calls.gone()
    assert calls.types("call/")[-1] == "call_hungup"
    refused = calls.ask("call", CALL_ID, Delete()).refused
    assert refused is not None
    assert refused.status == 409


# A restart, or a stream that was cut


def test_after_a_restart_a_prompt_that_is_over_is_not_waited_for() -> None:
    calls = Calls()
    play = to_play(calls)
    calls.hear(Present(is_up=True))
    calls.end(Find)
    assert calls.call.action.type == "play"
    calls.hear(Present(is_up=True))
    assert calls.end(Find, Absent("playback")).thing_id == play.playback_id
    assert calls.call.action.type == "echo"


def test_an_answer_that_was_missed_is_made_good() -> None:
    calls = Calls()
    to_ringing(calls)
    calls.wait(RING_TIME)
    calls.end(Answer)
    calls.hear(Present(is_up=True))
    assert calls.types("call/")[-1] == "call_answered"


def test_the_echo_is_reached_wherever_the_server_is_killed() -> None:
    """Each command is carried out, and its end and what the switch says of it are lost; then it is repeated."""
    calls = Calls()
    echo = to_creating(calls)
    calls.hear(Present(is_up=True))  # killed before anything was carried out: there is no channel yet
    calls.end(CreateBridge)
    calls.hear(Present(is_up=True, created=(echo,)))  # killed after the creation
    calls.end(Create)
    calls.hear(Present(is_up=True, created=(echo,)))
    calls.end(AddToBridge)
    calls.hear(Present(is_up=True, created=(echo,)))
    calls.end(AddToBridge)
    calls.hear(Present(is_up=True, created=(echo,)))
    calls.end(Dial)
    calls.hear(Present(is_up=True, created=(echo,)))
    assert (calls.work.stage, calls.work.attempt) == ("echoing", 1)
    assert calls.pending_kinds() == []
    assert [name for _, _, name in calls.timers()] == [Timer.LONGEST]


def test_what_is_told_of_the_echos_channel_may_come_before_its_creation_is_known_to_be_done() -> None:
    calls = Calls()
    calls.entered(to_creating(calls))
    assert calls.pending_kinds() == ["CreateBridge", "Create", "AddToBridge", "AddToBridge"]
    calls.end(Create)
    calls.entered(calls.work.channel_id)
    assert calls.pending_kinds() == ["CreateBridge", "AddToBridge", "AddToBridge"]


def echo_channel_gone(calls: Calls, echo: str) -> None:
    calls.gone(echo)


def echo_channel_missing(calls: Calls, echo: str) -> None:
    calls.hear(Present(is_up=True))


@pytest.mark.parametrize("what", [echo_channel_gone, echo_channel_missing])
def test_an_echo_that_ends_is_made_anew(what: Callable[[Calls, str], None]) -> None:
    calls = Calls()
    echo = to_echo(calls)
    what(calls, echo)
    assert calls.pending_kinds() == ["HangUp", "DestroyBridge", "CreateBridge", "Create"]
    assert calls.work.channel_id != echo
    assert calls.types("call/").count("call_updated") == 2


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (CreateBridge, Unavailable()),
        (Create, Refused("Allocation failed")),
        (AddToBridge, Refused("Channel not in Stasis application")),
        (AddToBridge, Absent("bridge")),
        (Dial, Unknown()),
        (Dial, NOT_FOUND),
    ],
)
def test_what_fails_in_an_echo_is_tidied_up_and_begun_anew(kind: type, outcome: Outcome) -> None:
    calls = Calls()
    echo = to_creating(calls)
    for step in (CreateBridge, Create, AddToBridge, AddToBridge, Dial):
        if step is kind:
            break
        calls.end(step)
        if step is Create:
            calls.entered(echo)
    calls.end(kind, outcome)
    assert calls.work.attempt == 2
    assert {"HangUp", "DestroyBridge"} <= set(calls.pending_kinds())
    calls.gone(echo)  # it is not this one's any more
    assert calls.work.attempt == 2


def test_an_echo_whose_channel_never_enters_is_begun_anew_and_in_the_end_given_up() -> None:
    calls = Calls()
    to_creating(calls)
    calls.wait(timedelta(minutes=1))
    assert calls.call.status == "terminating"
    assert [kind for kind in calls.pending_kinds() if kind == "Create"] == ["Create"] * 3
    calls.end_all()
    calls.gone()
    assert calls.pending_kinds().count("DestroyBridge") == 0


def test_a_second_hang_up_of_the_channel_that_echoes_is_no_end_of_the_call() -> None:
    calls = Calls()
    echo = to_echo(calls)
    calls.hang_up()
    calls.gone(echo)
    assert calls.call.status == "terminating"
    calls.gone()
    assert calls.pending_kinds() == ["HangUp", "HangUp", "DestroyBridge"]


def test_the_flow_is_the_greeting() -> None:
    assert [action.type for action in GREETING] == ["sleep", "answer", "play", "echo"]
    assert GREETING[0].option == {"duration": 2_000}
    assert len({action.id for action in GREETING}) == 4
