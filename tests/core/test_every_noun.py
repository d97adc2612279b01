"""Every noun, whatever it is told and whenever: after its end nothing changes, and what raises ends itself alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.domain.inputs import activeflow as flow_inputs
from offhook.domain.inputs import call as call_inputs
from offhook.domain.noun import registry
from offhook.domain.step import (
    Absent,
    Answered,
    Begun,
    Broken,
    Delete,
    Done,
    Due,
    Ended,
    Found,
    Lookup,
    Outcome,
    Refused,
    Superseded,
    Unavailable,
    Unknown,
)
from offhook.domain.switch.commands import HangUp, Ring
from offhook.domain.switch.inputs import (
    ChannelAnswered,
    ChannelEntered,
    ChannelGone,
    ChannelHeld,
    ChannelRinging,
    ChannelUnheld,
    DigitReceived,
    PlaybackFinished,
    SwitchInput,
)
from offhook.domain.telephony import call as call_noun
from offhook.domain.telephony.call import CALL
from offhook.domain.telephony.call_state import CallState, Timer
from offhook.domain.web_request import WebRequest
from offhook.flows import activeflow as flow_noun
from offhook.flows.activeflow import ACTIVEFLOW
from offhook.flows.activeflow import Timer as FlowTimer
from tests.core.calls import CALL_ID, CHANNEL, CUSTOMER, FLOW_ID, GREETING, SWITCH, Calls, arrived
from tests.core.machine import START
from tests.core.test_controls import Direction, Sound
from tests.core.test_greeting import to_creating, to_echo, to_play, to_ringing

OUTCOMES: list[Outcome] = [
    *(Done(), Done("sound:/speech/a"), Absent("channel"), Absent("playback"), Absent("bridge")),
    *(Refused("no"), Unavailable(), Unknown(), Superseded()),
]
ACTION = GREETING[0]


def call_told(calls: Calls) -> list[Any]:
    """Everything that a call can be told, with the ids that it knows."""
    pending = [order.pending.command for order in calls.pending()]
    work = calls.work
    channels = [CHANNEL, "another", getattr(work, "channel_id", "none")]
    return [
        arrived(),
        *(ChannelRinging(SWITCH, one) for one in channels),
        *(ChannelAnswered(SWITCH, one) for one in channels),
        *(ChannelEntered(SWITCH, one) for one in channels),
        *(ChannelGone(SWITCH, one, 17, 486) for one in channels),
        *(held(SWITCH, one) for held in (ChannelHeld, ChannelUnheld) for one in channels),
        *(DigitReceived(SWITCH, one, "1") for one in channels),
        *(PlaybackFinished(SWITCH, CHANNEL, getattr(work, "playback_id", "none"), failed) for failed in (False, True)),
        *(call_inputs.Present(is_up, created) for is_up in (False, True) for created in ((), tuple(channels))),
        call_inputs.Lost(),
        call_inputs.HangUpAsked(),
        *(call_inputs.SoundAsked(sound, is_on) for sound in get_args(Sound) for is_on in (True, False)),
        *(call_inputs.MuteAsked(direction, is_on) for direction in get_args(Direction) for is_on in (True, False)),
        Delete(),
        *(
            call_inputs.Begin(turn, ACTION, doing)
            for turn in (1, 9)
            for doing in (
                call_inputs.Waits(),
                call_inputs.Answers(),
                call_inputs.Plays(("sound:hello-world",)),
                call_inputs.Speaks("hi"),
                call_inputs.Speaks("hi", digits_handle="next", is_async=True),
                call_inputs.Echoes(),
                call_inputs.Listens(),
                call_inputs.Sends("1", 100, 0),
                call_inputs.Mutes(),
                call_inputs.HangsUp("busy"),
            )
        ),
        *(call_inputs.FlowEnded(has_failed) for has_failed in (False, True)),
        *(Ended(command, outcome) for command in pending for outcome in OUTCOMES),
        Ended(HangUp(id="none", switch=SWITCH, channel_id=CHANNEL), Done()),
        *(Due(name, at) for name, at in calls.document("call", CALL_ID).timers.items()),
        *(Due(name, START) for name in Timer),
    ]


ANSWERED = Answered(200, b"[]", is_whole=True)


def web_request(turn: int) -> WebRequest:
    return WebRequest(
        id="none",
        activeflow_id=FLOW_ID,
        customer_id=CUSTOMER,
        turn=turn,
        method="POST",
        uri="http://a.test/",
        content_type="application/json",
        body="",
    )


def flow_told(calls: Calls) -> list[Any]:
    """Everything that an activeflow can be told."""
    return [
        flow_inputs.Start(FLOW_ID, CUSTOMER, CALL_ID, GREETING),
        flow_inputs.Go("ringing"),
        *(flow_inputs.ActionEnded(turn, "progressing", error) for turn in range(6) for error in ("", "no")),
        *(flow_inputs.Listening(turn, "progressing") for turn in range(6)),
        flow_inputs.Typed("#"),
        *(flow_inputs.Fetched(turn, GREETING) for turn in range(6)),
        *(Found(Lookup("flow", "id", FLOW_ID), ids) for ids in ((), (FLOW_ID,))),
        flow_inputs.StopAsked(),
        flow_inputs.Halt(),
        flow_inputs.CallEnded(),
        *(Due(name, at) for name, at in calls.document("activeflow", FLOW_ID).timers.items()),
        *(Due(name, START) for name in FlowTimer),
        *(Ended(order.pending.command, outcome) for order in calls.pending() for outcome in OUTCOMES),
        *(
            Ended(web_request(turn), outcome)
            for turn in range(6)
            for outcome in (*OUTCOMES, Answered(200, b"[]", True))
        ),
        Delete(),
    ]


def test_the_samples_hold_every_input_that_there_is() -> None:
    calls = Calls()
    calls.arrive()
    assert {type(told) for told in call_told(calls)} == set(get_args(call_noun.Input))
    assert {type(told) for told in flow_told(calls)} == set(get_args(flow_noun.Input))
    # Whatever a switch tells of a channel, its call is told.
    of_channels = {told for told in get_args(SwitchInput) if "channel_id" in told.__struct_fields__}
    assert of_channels <= set(get_args(call_noun.Input))


def ended_calls() -> Calls:
    calls = Calls()
    to_echo(calls)
    calls.gone()
    return calls


@pytest.mark.parametrize(("kind", "row_id"), [("call", CALL_ID), ("activeflow", FLOW_ID)])
def test_after_its_end_a_noun_is_told_everything_and_stays_as_it_is(kind: str, row_id: str) -> None:
    calls = ended_calls()
    before, events, orders = calls.state(kind, row_id), len(calls.events), len(calls.orders)
    told = [*(call_told(calls) if kind == "call" else flow_told(calls)), Begun("none"), Broken("again")]
    for one in told:
        if not isinstance(one, Delete):
            calls.tell(kind, row_id, one)
            assert calls.state(kind, row_id) == before
    assert (len(calls.events), len(calls.orders)) == (events, orders)
    if kind == "call":
        assert calls.pending_kinds() == []  # but what was pending is not any more
    calls.ask(kind, row_id, Delete())
    assert calls.state(kind, row_id) != before
    assert len(calls.events) == events


def advance(calls: Calls, stage: int) -> None:
    (Calls.arrive, to_ringing, to_play, to_creating, to_echo)[stage](calls)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 4), st.data())
def test_nothing_that_a_call_or_its_flow_is_told_in_any_order_raises_or_is_told_twice(stage: int, data: Any) -> None:
    calls = Calls()
    advance(calls, stage)
    for _ in range(data.draw(st.integers(0, 25))):
        is_call = data.draw(st.booleans())
        told = data.draw(st.sampled_from(call_told(calls) if is_call else flow_told(calls)))
        calls.now += timedelta(seconds=data.draw(st.sampled_from((-1, 0, 1))))
        calls.tell(*(("call", CALL_ID) if is_call else ("activeflow", FLOW_ID)), told)
    calls.gone()
    assert calls.types("call/").count("call_hungup") == calls.types("call/").count("call_created") == 1
    assert calls.types("call/")[-1] == "call_hungup"
    assert not [result.faults for result in calls.results if result.faults]
    times = [data["tm_update"] or data["tm_create"] for _, about, data in calls.events if about.startswith("call/")]
    assert times == sorted(times)


# Poison


def breaking(kind: str) -> Calls:
    """The rules of one noun always raise, once there is a row."""

    def decide(noun: Any) -> Any:
        def raises(state: Any, told: Any, now: Any) -> Any:
            if state is None:
                return noun.decide(state, told, now)
            raise ZeroDivisionError

        return msgspec.structs.replace(noun, decide=raises)

    nouns = {noun.kind: decide(noun) if kind in (noun.kind, "all") else noun for noun in (CALL, ACTIVEFLOW)}
    return Calls(registry(*nouns.values()))


@pytest.mark.parametrize("kind", ["call", "activeflow", "all"])
def test_a_rule_that_always_raises_ends_its_call_as_failed_and_no_other(kind: str) -> None:
    calls = breaking(kind)
    calls.arrive()
    other = "c0a8f4d2-6e1b-4d37-b952-1f8e7a3c5d06"
    calls.tell("call", other, arrived(other, "1772442007.13"))
    calls.end(Ring)
    assert calls.types(f"call/{CALL_ID}")[-1] == "call_hungup"
    assert calls.types(f"activeflow/{FLOW_ID}")[-1] == "activeflow_deleted"
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "failed")
    assert [order.id for order in calls.pending() if isinstance(order.pending.command, HangUp)] == [CALL_ID]
    assert calls.state("call", other).call.status == "dialing"
    assert calls.results[-1].faults
    calls.gone()
    assert calls.types().count("call_hungup") == calls.types().count("activeflow_deleted") == 1


def test_a_broken_rule_that_somebody_asked_for_is_an_error_to_them_and_changes_nothing() -> None:
    calls = breaking("call")
    calls.arrive()
    result = calls.hang_up()
    assert not result.is_done
    assert calls.call.status == "dialing"


# What is kept


def test_what_was_kept_of_a_call_is_read_again() -> None:
    calls = Calls()
    to_echo(calls)
    document = calls.document("call", CALL_ID)
    assert isinstance(document.state, CallState)
    assert document.state.channels == (CHANNEL, calls.work.channel_id)
