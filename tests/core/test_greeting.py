"""The built-in call, event by event, with its activeflow."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from offhook.domain import catalogue
from offhook.domain.switch.commands import (
    AddToBridge,
    Answer,
    Create,
    CreateBridge,
    DestroyBridge,
    Dial,
    Follow,
    HangUp,
    Play,
    Ring,
)
from offhook.domain.telephony.call_state import Idle
from tests.core.calls import CHANNEL, FLOW_ID, GREETING, RING_TIME, Calls

CALL_EVENTS = [
    ("call_created", "dialing", ""),
    ("call_ringing", "ringing", "sleep"),
    ("call_answered", "progressing", "answer"),
    ("call_updated", "progressing", "play"),
    ("call_updated", "progressing", "echo"),
    ("call_hungup", "hangup", "echo"),
]


def to_ringing(calls: Calls) -> None:
    calls.arrive()
    calls.end(Follow)
    calls.end(Ring)


def to_play(calls: Calls) -> Play:
    to_ringing(calls)
    calls.wait(RING_TIME)
    calls.up()
    calls.end(Answer)
    play = calls.end(Play)
    assert isinstance(play, Play)
    return play


def to_creating(calls: Calls) -> str:
    """Until the bridge and the channel of an echo are commanded; the channel's id."""
    calls.played(to_play(calls).playback_id)
    found: str = calls.work.channel_id
    return found


def to_echo(calls: Calls) -> str:
    """Until both are in the bridge and the channel that echoes is dialled; its id."""
    echo = to_creating(calls)
    calls.end(CreateBridge)
    calls.end(Create)
    calls.entered(echo)
    calls.end(AddToBridge)
    calls.end(AddToBridge)
    calls.end(Dial)
    return echo


def shown(calls: Calls) -> list[tuple[str, str, str]]:
    return [(type_, data["status"], data["action"]["type"]) for type_, about, data in calls.events if "call/" in about]


def test_a_whole_call_has_the_events_that_it_always_had() -> None:
    calls = Calls()
    echo = to_echo(calls)
    assert calls.pending_kinds() == []
    calls.wait(timedelta(minutes=5))
    calls.gone()
    assert shown(calls) == CALL_EVENTS
    assert [(type_, data["current_action"]["type"]) for type_, about, data in calls.events if "flow/" in about] == [
        ("activeflow_created", ""),
        ("activeflow_updated", "sleep"),
        ("activeflow_updated", "answer"),
        ("activeflow_updated", "play"),
        ("activeflow_updated", "echo"),
        ("activeflow_deleted", "echo"),
    ]
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("remote", "normal")
    assert [action.type for action in calls.flow.executed_actions] == ["sleep", "answer", "play", "echo"]
    assert (calls.flow.status, calls.flow.tm_delete) == ("ended", None)
    assert isinstance(calls.work, Idle)
    # What was made for the echo is ended with the call.
    assert [type(one.pending.command) for one in calls.pending()] == [HangUp, DestroyBridge]
    assert calls.pending()[0].pending.command.channel_id == echo
    calls.end_all()
    assert not calls.rows.open


def test_the_flow_is_made_with_its_call_and_both_end_in_one_commit() -> None:
    calls = Calls()
    calls.arrive()
    assert calls.types() == ["call_created", "activeflow_created"]
    assert calls.shown("call/", "activeflow_id", "flow_id")[0][1] == FLOW_ID
    to_go = len(calls.events)
    calls.gone(cause=127, tech_cause=487)
    assert calls.types()[to_go:] == ["call_hungup", "activeflow_deleted"]


def test_events_have_the_shape_and_the_subject_of_the_catalogue() -> None:
    calls = Calls()
    to_echo(calls)
    calls.gone()
    for type_, subject, data in calls.events:
        entry = catalogue.event_type(type_)
        msgspec.convert(data, entry.shape, strict=True)
        assert subject == f"{entry.resource}/{data['id']}"
        assert (data["id"] if "flow" in type_ else data["activeflow_id"]) == FLOW_ID
    times = [data["tm_update"] or data["tm_create"] for _, _, data in calls.events]
    assert times == sorted(times)


def test_an_incoming_call_rings_when_our_ring_command_was_carried_out_and_shows_the_sleep() -> None:
    calls = Calls()
    calls.arrive()
    assert calls.pending_kinds() == ["Follow", "Ring"]
    calls.wait(timedelta(seconds=1))
    assert calls.types("call/") == ["call_created"]
    calls.end(Ring)
    assert shown(calls)[-1] == ("call_ringing", "ringing", "sleep")
    calls.wait(RING_TIME - timedelta(milliseconds=1))
    assert calls.pending_kinds() == ["Follow"]
    calls.wait(timedelta(milliseconds=1))
    assert calls.pending_kinds() == ["Follow", "Answer"]
    assert calls.types("call/") == ["call_created", "call_ringing"]


def test_what_follows_the_answer_begins_in_a_commit_of_its_own_whichever_came_last() -> None:
    for is_up_first in (True, False):
        calls = Calls()
        to_ringing(calls)
        calls.wait(RING_TIME)
        if is_up_first:
            calls.up()
            assert calls.types("call/")[-1] == "call_answered"
            calls.end(Answer)
        else:
            calls.end(Answer)
            assert calls.types("call/")[-1] == "call_ringing"
            calls.up()
            assert calls.types("call/")[-1] == "call_answered"
            calls.wait(timedelta(0))
        assert shown(calls) == CALL_EVENTS[:4]
        assert calls.pending_kinds() == ["Play"]


def test_an_end_that_we_want_goes_through_terminating_and_stops_the_flow() -> None:
    calls = Calls()
    to_ringing(calls)
    assert calls.hang_up().states[0].call.status == "terminating"
    calls.wait(timedelta(minutes=1))
    calls.gone(cause=16)
    assert calls.types("call/") == ["call_created", "call_ringing", "call_updated", "call_hungup"]
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "normal")
    assert calls.types("activeflow/") == ["activeflow_created", "activeflow_updated", "activeflow_deleted"]
    before = len(calls.events)
    assert calls.hang_up().states[0].call.status == "hangup"
    assert len(calls.events) == before


def test_the_end_of_the_flow_hangs_up() -> None:
    calls = Calls()
    calls.arrive(actions=GREETING[:1])
    calls.end(Follow)
    calls.end(Ring)
    calls.wait(RING_TIME)
    assert calls.types("call/") == ["call_created", "call_ringing", "call_updated"]
    assert calls.end(HangUp).channel_id == CHANNEL
    calls.gone()
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "normal")


def test_a_flow_without_actions_rings_and_hangs_up() -> None:
    calls = Calls()
    calls.arrive(actions=())
    calls.end(Ring)
    assert calls.types("call/") == ["call_created", "call_ringing", "call_updated"]
    assert calls.call.status == "terminating"


def test_a_caller_told_twice_is_one_call() -> None:
    calls = Calls()
    calls.arrive()
    calls.arrive()
    assert calls.types() == ["call_created", "activeflow_created"]
