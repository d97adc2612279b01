"""A call's states, reasons and events, without any switch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain import call as rules
from offhook.domain.address import address_of
from offhook.domain.call import MOVES, Call, Step
from offhook.domain.ids import NIL_UUID, new_uuid
from offhook.telephony import greeting

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def incoming() -> Call:
    return rules.incoming(
        new_uuid(), new_uuid(), caller="+15550100123", caller_name="R. Miller", dialled="100", now=START
    ).call


def outgoing() -> Call:
    return msgspec.structs.replace(incoming(), direction="outgoing")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ringing(call: Call) -> Call:
    return rules.rings(call, at(1)).call


def up(call: Call) -> Call:
    return rules.answered(call, at(2), greeting.answer_action(call.id)).call


def test_a_new_call_shows_every_field_and_no_value_is_never_left_out() -> None:
    step = rules.incoming(
        new_uuid(), new_uuid(), caller="+15550100123", caller_name="R. Miller", dialled="sales", now=START
    )
    assert step.event_types == ("call_created",)
    shown = msgspec.json.decode(msgspec.json.encode(step.call))
    assert shown["source"] == {
        "type": "tel", "target": "+15550100123", "target_name": "R. Miller", "name": "", "detail": "",
    }  # fmt: skip
    assert shown["destination"]["type"] == "sip"
    assert shown["action"] == {"id": NIL_UUID, "next_id": NIL_UUID, "type": "", "option": {}, "tm_execute": None}
    assert [shown[name] for name in ("tm_ringing", "tm_progressing", "tm_hangup", "tm_update", "tm_delete")] == [
        None
    ] * 5
    assert shown["tm_create"] == "2026-03-02T09:00:00Z"
    assert (shown["chained_call_ids"], shown["metadata"], shown["hangup_by"]) == ([], {}, "")
    assert (shown["groupcall_id"], shown["owner_id"]) == (NIL_UUID, NIL_UUID)


def test_a_life_from_the_first_ring_to_the_end() -> None:
    call = incoming()
    types = []
    for step_of in (
        lambda call: rules.rings(call, at(1)),
        lambda call: rules.answered(call, at(2), greeting.answer_action(call.id)),
        lambda call: rules.acts(call, greeting.play_action(call.id, "hello-world"), at(3)),
        lambda call: rules.acts(call, greeting.echo_action(call.id), at(4)),
        lambda call: rules.gone(call, at(5)),
    ):
        step = step_of(call)
        types += step.event_types
        call = step.call
    assert types == ["call_ringing", "call_answered", "call_updated", "call_updated", "call_hungup"]
    assert call.tm_ringing == "2026-03-02T09:00:01Z"
    assert call.tm_progressing == "2026-03-02T09:00:02Z"
    assert call.action.tm_execute == "2026-03-02T09:00:04Z"
    assert call.tm_hangup == call.tm_update == "2026-03-02T09:00:05Z"


def test_the_same_action_again_is_no_change() -> None:
    call = up(incoming())
    once = rules.acts(call, greeting.echo_action(call.id), at(3)).call
    assert rules.acts(once, greeting.echo_action(call.id), at(4)) == Step(once)


@pytest.mark.parametrize(
    ("make", "cause", "tech_cause", "by", "reason"),
    [
        # incoming, before the answer: the caller cancelled (127 / 487 is what Asterisk says), or gave up
        (lambda: ringing(incoming()), 127, 487, "remote", "normal"),
        (incoming, 0, 0, "remote", "normal"),
        (lambda: ringing(incoming()), 19, 480, "remote", "noanswer"),
        (lambda: ringing(incoming()), 17, 486, "remote", "busy"),
        # answered: a lone channel's BYE has cause 0, a bridged one's 16
        (lambda: up(incoming()), 0, 0, "remote", "normal"),
        (lambda: up(incoming()), 16, 0, "remote", "normal"),
        (lambda: up(outgoing()), 38, 0, "remote", "normal"),
        # we hung up
        (lambda: rules.hangs_up(up(incoming()), at(3)).call, 16, 0, "local", "normal"),
        (lambda: rules.hangs_up(ringing(incoming()), at(3)).call, 16, 603, "local", "normal"),
        (lambda: rules.hangs_up(ringing(outgoing()), at(3)).call, 16, 487, "local", "cancel"),
        (lambda: rules.hangs_up(up(outgoing()), at(3)).call, 16, 0, "local", "normal"),
        # outgoing, before the answer; what SIP's refusals become was measured
        (outgoing, 17, 486, "remote", "busy"),
        (outgoing, 21, 600, "remote", "busy"),
        (outgoing, 21, 603, "remote", "noanswer"),
        (lambda: ringing(outgoing()), 19, 480, "remote", "noanswer"),
        (outgoing, 18, 408, "remote", "noanswer"),
        (outgoing, 16, 0, "remote", "normal"),
        (outgoing, 26, 0, "remote", "normal"),
        (outgoing, 1, 404, "remote", "failed"),
        (outgoing, 34, 503, "remote", "failed"),
        (outgoing, 0, 0, "remote", "dialout"),
    ],
)
def test_who_hung_up_and_why(make: Callable[[], Call], cause: int, tech_cause: int, by: str, reason: str) -> None:
    step = rules.gone(make(), at(9), cause=cause, tech_cause=tech_cause)
    assert step.event_types == ("call_hungup",)
    assert (step.call.hangup_by, step.call.hangup_reason) == (by, reason)


@pytest.mark.parametrize(
    ("make", "by", "reason"),
    [
        (incoming, "remote", "failed"),
        (lambda: up(incoming()), "remote", "failed"),
        (lambda: rules.hangs_up(up(incoming()), at(3)).call, "local", "normal"),
        (lambda: rules.hangs_up(outgoing(), at(3)).call, "local", "cancel"),
    ],
)
def test_a_lost_switch_ends_the_call(make: Callable[[], Call], by: str, reason: str) -> None:
    step = rules.lost(make(), at(9))
    assert step.event_types == ("call_hungup",)
    assert (step.call.hangup_by, step.call.hangup_reason) == (by, reason)


Input = Callable[[Call, datetime], Step]
INPUTS: list[Input] = [
    rules.rings,
    rules.answered,
    lambda call, now: rules.answered(call, now, greeting.answer_action(call.id)),
    lambda call, now: rules.acts(call, greeting.play_action(call.id, "hello-world"), now),
    lambda call, now: rules.acts(call, greeting.echo_action(call.id), now),
    rules.hangs_up,
    rules.gone,
    lambda call, now: rules.gone(call, now, cause=17, tech_cause=486),
    lambda call, now: rules.gone(call, now, cause=127, tech_cause=487),
    rules.lost,
]


@given(
    st.sampled_from(["incoming", "outgoing"]),
    st.lists(st.tuples(st.sampled_from(INPUTS), st.integers(-3_600, 3_600)), max_size=30),
)
def test_whatever_is_heard_a_call_moves_along_the_table_and_hangs_up_once_at_last(
    direction: str, heard: list[tuple[Input, int]]
) -> None:
    call = msgspec.structs.replace(incoming(), direction=direction)
    types: list[str] = []
    for hear, seconds in heard:
        step = hear(call, at(seconds))
        assert step.call.status == call.status or step.call.status in MOVES[call.status]
        assert (step.call == call) == (not step.event_types)
        assert len(step.event_types) <= 1
        moments = [step.call.tm_create, call.tm_update or call.tm_create, step.call.tm_update or step.call.tm_create]
        assert [datetime.fromisoformat(moment) for moment in moments] == sorted(map(datetime.fromisoformat, moments))
        types += step.event_types
        call = step.call
    assert types.count("call_hungup") <= 1
    assert ("call_hungup" in types) == (call.status == "hangup")
    if "call_hungup" in types:
        assert types[-1] == "call_hungup"
        assert call.hangup_by
        assert call.hangup_reason
        assert call.tm_hangup
    assert msgspec.json.decode(msgspec.json.encode(call), type=Call) == call


@pytest.mark.parametrize(
    ("user", "type_", "target"),
    [
        ("+15550100123", "tel", "+15550100123"),
        ("100", "tel", "100"),
        ("+1-555-010.0123", "tel", "+15550100123"),
        ("1 (555) 0100", "tel", "15550100"),
        ("alice", "sip", "alice"),
        ("", "sip", ""),
        ("+", "sip", "+"),
        ("*98", "sip", "*98"),
        ("\u0661\u0662\u0663", "sip", "\u0661\u0662\u0663"),
        ("12ab", "sip", "12ab"),
        ("al\r\nice\x01", "sip", "alice"),
    ],
)
def test_an_address_is_a_number_if_it_reads_like_one(user: str, type_: str, target: str) -> None:
    address = address_of(user, "Somebody")
    assert (address.type, address.target, address.target_name) == (type_, target, "Somebody")
