"""Flows and what they make calls do, event by event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import activeflow, flow, number
from offhook.domain.step import Answered, Delete, Refusal, Refused, Tell
from offhook.domain.switch.commands import Answer, Follow, HangUp, HangUpCause, Ring
from offhook.domain.switch.inputs import DigitReceived
from offhook.domain.telephony.call_state import Playing
from offhook.domain.web_request import WebRequest
from offhook.flows import activeflow as activeflow_module
from offhook.flows.options import OPTIONS
from offhook.flows.reading import read_actions
from offhook.store.commit.unit import Result
from tests.core.calls import CHANNEL, CUSTOMER, FLOW_ID, SWITCH, Calls

MENU = "3d5d1c3a-1c6e-4a38-9a2e-0a7b3f2f1f01"
OTHER = "2b1f6f0a-7c1d-4a53-9f5e-6f3f0c9a1e09"
ALONE = "3d5d1c3a-1c6e-4a38-9a2e-0a7b3f2f1f03"


def actions_of(*actions: dict[str, Any]) -> Any:
    return read_actions(list(actions))


def sleep(ms: int, **rest: Any) -> dict[str, Any]:
    return {"type": "sleep", "option": {"duration": ms}, **rest}


def calling(*actions: dict[str, Any]) -> Calls:
    """A caller whose flow has begun."""
    calls = Calls()
    calls.arrive(actions=actions_of(*actions))
    calls.end(Follow)
    calls.end(Ring)
    return calls


def answered(*actions: dict[str, Any]) -> Calls:
    """A caller who is answered for the first action."""
    calls = calling(*actions)
    calls.up()
    calls.end(Answer)
    return calls


def typed(calls: Calls, digits: str) -> None:
    for digit in digits:
        calls.hear(DigitReceived(SWITCH, CHANNEL, digit))


def started(*actions: dict[str, Any], variables: dict[str, str] | None = None, calls: Calls | None = None) -> Calls:
    """An activeflow without a call."""
    calls = calls or Calls()
    calls.tell("activeflow", ALONE, activeflow.Start(ALONE, CUSTOMER, NIL_UUID, actions_of(*actions),
                                                     variables=variables or {}))  # fmt: skip
    return calls


def made(calls: Calls, *actions: dict[str, Any], flow_id: str = MENU) -> Calls:
    calls.ask("flow", flow_id, flow.Make(flow_id, CUSTOMER, "Menu", "", actions_of(*actions), NIL_UUID), CUSTOMER)
    return calls


def refusal(result: Result) -> Refusal:
    assert result.refused is not None
    return result.refused


def executed(calls: Calls, flow_id: str = FLOW_ID) -> list[str]:
    return [action.type for action in calls.state("activeflow", flow_id).activeflow.executed_actions]


def alone(calls: Calls) -> Any:
    return calls.state("activeflow", ALONE).activeflow


# Digits

ASK = {"type": "digits_receive", "option": {"length": 2, "key": "#", "duration": 3_000}}


def after_digits(digits: str) -> Calls:
    branch = {"type": "branch", "option": {"target_ids": {digits: "right"}, "default_target_id": "wrong"}}
    return answered(ASK, branch, sleep(1_000, id="wrong"), sleep(2_000, id="right"))


def test_digits_receive_answers_and_is_shown_by_the_answer() -> None:
    calls = answered(ASK)
    assert calls.shown("call/", "action")[-1][1]["type"] == "digits_receive"
    assert calls.types("call/") == ["call_created", "call_ringing", "call_answered"]


@pytest.mark.parametrize(("digits", "left_out"), [("12", ""), ("1#", ""), ("#", ""), ("12", "3")])
def test_digits_are_all_when_there_are_enough_or_the_key_was_typed(digits: str, left_out: str) -> None:
    calls = after_digits(digits)
    typed(calls, digits + left_out)
    assert calls.call.action.option == {"duration": 2_000}


def test_digits_are_all_when_nobody_types_for_so_long_counted_anew_after_each() -> None:
    calls = after_digits("1")
    calls.wait(timedelta(seconds=2.9))
    typed(calls, "1")
    calls.wait(timedelta(seconds=2.9))
    assert calls.call.action.type == "digits_receive"
    calls.wait(timedelta(seconds=0.2))
    assert calls.call.action.option == {"duration": 2_000}


def test_without_a_digit_the_flow_goes_on_after_five_seconds_by_default() -> None:
    calls = answered({"type": "digits_receive", "option": {}}, sleep(1_000))
    calls.wait(timedelta(seconds=4.9))
    assert calls.call.action.type == "digits_receive"
    calls.wait(timedelta(seconds=0.2))
    assert calls.call.action.type == "sleep"


def test_what_was_typed_before_the_question_counts() -> None:
    calls = answered({"type": "answer"}, sleep(1_000), ASK, sleep(5_000))
    calls.wait(timedelta(0))
    typed(calls, "12")
    calls.wait(timedelta(seconds=1))
    assert calls.call.action.option == {"duration": 5_000}


def test_what_answered_one_question_does_not_answer_the_next() -> None:
    calls = answered(ASK, sleep(1_000), ASK, sleep(5_000))
    typed(calls, "12")
    calls.wait(timedelta(seconds=1))
    assert calls.call.action.type == "digits_receive"
    typed(calls, "3")
    typed(calls, "#")
    assert calls.state("activeflow", FLOW_ID).execution.digits == "3#"


def test_digits_are_in_no_event() -> None:
    calls = answered(ASK, sleep(1_000))
    typed(calls, "9*7*8")
    assert all("9*7" not in str(data) for _, _, data in calls.events)


# Ends


def test_stop_ends_the_call_and_its_activeflow_in_one_commit() -> None:
    calls = calling(sleep(60_000))
    calls.ask("activeflow", FLOW_ID, activeflow.StopAsked(), CUSTOMER)
    assert calls.call.status == "terminating"
    assert calls.flow.status == "running"
    calls.gone()
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", "normal")
    assert calls.flow.status == "ended"
    assert refusal(calls.ask("activeflow", FLOW_ID, activeflow.StopAsked(), CUSTOMER)).status == 409


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("", HangUpCause.NORMAL),
        ("busy", HangUpCause.BUSY),
        ("noanswer", HangUpCause.NO_ANSWER),
        ("failed", HangUpCause.CONGESTION),
    ],
)
def test_hangup_ends_the_call_with_its_reason(reason: str, cause: HangUpCause) -> None:
    calls = calling({"type": "hangup", "option": {"reason": reason}})
    (command,) = [order.pending.command for order in calls.pending() if isinstance(order.pending.command, HangUp)]
    assert command.cause is cause
    calls.gone()
    assert (calls.call.hangup_by, calls.call.hangup_reason) == ("local", reason or "normal")
    assert executed(calls) == ["hangup"]


def test_internal_steps_are_seen_in_the_next_event_only() -> None:
    calls = calling({"type": "empty"}, {"type": "variable_set", "option": {"key": "a", "value": "b"}}, sleep(1_000))
    calls.wait(timedelta(seconds=1))
    calls.gone()
    assert calls.types("activeflow/") == ["activeflow_created", "activeflow_updated", "activeflow_deleted"]
    _, updated, deleted = [
        [action["type"] for action in data["executed_actions"]]
        for _, subject, data in calls.events
        if subject.startswith("activeflow/")
    ]
    assert updated == ["empty", "variable_set"]
    assert deleted == ["empty", "variable_set", "sleep"]


# Without a call


def test_an_activeflow_without_a_call_begins_at_once_and_ends_by_itself() -> None:
    calls = started({"type": "answer"}, sleep(1_000), variables={"a": "b"})
    assert alone(calls).reference_type == "api"
    assert [step.error for step in alone(calls).executed_actions] == ["There is no call."]
    calls.wait(timedelta(seconds=1))
    assert alone(calls).status == "ended"
    assert calls.types(f"activeflow/{ALONE}") == ["activeflow_created", "activeflow_updated", "activeflow_deleted"]


def test_one_that_is_blocked_waits_until_it_is_stopped() -> None:
    calls = started({"type": "block"})
    calls.wait(timedelta(days=1))
    assert alone(calls).status == "running"
    calls.ask("activeflow", ALONE, activeflow.StopAsked(), CUSTOMER)
    assert alone(calls).status == "ended"


def test_a_flow_without_actions_ends_in_the_commit_that_begins_it() -> None:
    assert started().types() == ["activeflow_created", "activeflow_deleted"]


def test_many_actions_that_take_no_time_are_cut_into_units() -> None:
    calls = started({"type": "goto", "option": {"target_id": "a"}}, sleep(0, id="a"), {"type": "empty", "next_id": "a"})
    calls.wait(timedelta(seconds=1))
    assert alone(calls).status == "ended"
    assert alone(calls).executed_actions[-1].error != ""
    assert calls.types().count("activeflow_updated") == 100


def test_what_executed_shows_is_the_last_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert activeflow_module._MAX_EXECUTED == 1_000
    # Each step shows all the earlier ones: a thousand take half a minute, and say no more.
    monkeypatch.setattr(activeflow_module, "_MAX_EXECUTED", 50)
    loop = [sleep(0, id=f"a{number}") for number in range(12)]
    calls = started(*loop, {"type": "empty", "next_id": "a0"})
    calls.wait(timedelta(seconds=1))
    assert len(alone(calls).executed_actions) == 50


def test_what_nobody_can_carry_out_yet_is_passed_over_and_said() -> None:
    calls = answered({"type": "answer"}, {"type": "webhook_send", "option": {"uri": "http://a.test/"}}, sleep(1_000))
    calls.wait(timedelta(0))
    assert calls.call.action.type == "sleep"
    assert [step.error for step in calls.flow.executed_actions] == ["", "webhook_send is not offered yet."]


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_no_action_is_without_an_end(name: str) -> None:
    """Whatever a flow does, but for blocking it: it is over at last, with and without a call."""
    needed: dict[str, dict[str, Any]] = {
        "talk": {"text": "hi"}, "play": {"stream_urls": ["sound:hi"]}, "webhook_send": {"uri": "http://a.test/"},
        "fetch": {"event_url": "http://a.test/"}, "fetch_flow": {"flow_id": MENU}, "goto": {"target_id": "a"},
        "condition_variable": {"condition": "==", "variable": "a"}, "condition_datetime": {"condition": "=="},
        "condition_call_status": {"status": "ringing"}, "digits_send": {"digits": "1"}, "variable_set": {"key": "a"},
        "echo": {"duration": 1_000}, "stream_echo": {"duration": 1_000}, "sleep": {"duration": 1_000},
    }  # fmt: skip
    action = {"id": "a", "type": name, "option": needed.get(name, {})}
    calls = calling(action)
    for _ in range(20):
        calls.up()
        calls.end_all()
        if isinstance(calls.work, Playing):
            calls.played(calls.work.playback_id)
        calls.wait(timedelta(seconds=10))
    assert (calls.call.status != "progressing") == (name != "block")
    started(action, calls=calls)
    calls.end_all()
    calls.wait(timedelta(days=1))
    assert (alone(calls).status == "ended") == (name != "block")


def test_a_flow_whose_actions_are_large_comes_to_its_end() -> None:
    urls = [f"sound:{'x' * 600}" for _ in range(100)]
    large = {"id": "a", "type": "play", "option": {"stream_urls": urls}, "next_id": "a"}
    calls = answered(large)
    for _ in range(110):
        calls.wait(timedelta(milliseconds=1))
        calls.end_all()
        if isinstance(calls.work, Playing):
            calls.played(calls.work.playback_id)
    assert calls.call.status == "terminating"
    calls.gone()
    assert calls.types("call/")[-1] == "call_hungup"
    assert calls.types(f"activeflow/{FLOW_ID}")[-1] == "activeflow_deleted"
    assert not [result.faults for result in calls.results if result.faults]
    assert max(len(msgspec.json.encode(data)) for _, _, data in calls.events) < 300_000


def test_of_what_was_typed_the_last_thousand_digits_are_kept() -> None:
    calls = answered({"type": "answer"}, sleep(1_000))
    typed(calls, "12" * 600)
    assert calls.state("activeflow", FLOW_ID).execution.digits == "12" * 500


def test_an_activeflow_is_deleted_once() -> None:
    calls = started({"type": "block"})
    assert calls.ask("activeflow", ALONE, Delete(), CUSTOMER).is_done
    assert refusal(calls.ask("activeflow", ALONE, Delete(), CUSTOMER)).status == 404


# Flows as resources


def test_fetch_flow_runs_another_flows_actions_next_and_makes_no_event() -> None:
    calls = made(Calls(), sleep(2_000))
    started({"type": "fetch_flow", "option": {"flow_id": MENU}}, sleep(3_000), calls=calls)
    assert alone(calls).current_action.option == {"duration": 2_000}
    calls.wait(timedelta(seconds=2))
    assert alone(calls).current_action.option == {"duration": 3_000}
    assert executed(calls, ALONE) == ["fetch_flow", "sleep"]
    assert calls.types().count("activeflow_updated") == 2


def test_a_flow_that_is_not_there_ends_what_wanted_it() -> None:
    calls = started({"type": "fetch_flow", "option": {"flow_id": MENU}}, sleep(3_000))
    assert alone(calls).status == "ended"
    assert alone(calls).executed_actions[-1].error == f"There is no flow {MENU}."


def test_another_customers_flow_is_none() -> None:
    calls = Calls()
    calls.ask("flow", MENU, flow.Make(MENU, OTHER, "", "", actions_of(sleep(1)), NIL_UUID), OTHER)
    started({"type": "fetch_flow", "option": {"flow_id": MENU}}, calls=calls)
    assert alone(calls).executed_actions[-1].error == f"There is no flow {MENU}."
    assert not [result.faults for result in calls.results if result.faults]


def test_a_flow_that_cannot_be_read_holds_nobody_for_ever() -> None:
    calls = made(Calls(), sleep(1))
    calls.rows.unreadable.add(("flow", MENU))
    started({"type": "fetch_flow", "option": {"flow_id": MENU.upper()}}, calls=calls)
    calls.wait(timedelta(seconds=6))
    assert alone(calls).status == "ended"
    assert "could not be read" in alone(calls).executed_actions[-1].error


def test_a_flow_that_fetches_itself_comes_to_an_end() -> None:
    calls = made(Calls(), {"type": "fetch_flow", "option": {"flow_id": MENU}})
    started({"type": "fetch_flow", "option": {"flow_id": MENU}}, calls=calls)
    calls.wait(timedelta(seconds=1))
    assert alone(calls).status == "ended"
    assert not [result.faults for result in calls.results if result.faults]


def test_what_runs_keeps_the_actions_that_it_began_with() -> None:
    calls = made(Calls(), sleep(2_000))
    started({"type": "fetch_flow", "option": {"flow_id": MENU}}, calls=calls)
    calls.ask("flow", MENU, flow.Change(actions=()), CUSTOMER)
    calls.ask("flow", MENU, Delete(), CUSTOMER)
    assert alone(calls).current_action.option == {"duration": 2_000}


def test_a_flow_changes_where_it_is_told_to_and_nowhere_else() -> None:
    calls = made(Calls(), sleep(1))
    calls.ask("flow", MENU, flow.Change(name="Other"), CUSTOMER)
    shown = calls.state("flow", MENU).flow
    assert (shown.name, len(shown.actions), shown.tm_update is None) == ("Other", 1, False)
    before = calls.state("flow", MENU)
    calls.ask("flow", MENU, flow.Change(name="Other"), CUSTOMER)
    assert calls.state("flow", MENU) == before


def numbered(calls: Calls, number_id: str, text: str, flow_id: str = MENU, customer: str = CUSTOMER) -> Result:
    return calls.ask("number", number_id, number.Make(number_id, customer, text, "", "", flow_id, NIL_UUID), customer)


def test_a_flow_that_a_number_runs_is_not_deleted() -> None:
    calls = made(Calls())
    numbered(calls, ALONE, "+15559876543")
    refused = refusal(calls.ask("flow", MENU, Delete(), CUSTOMER))
    assert (refused.status, refused.reason) == (409, "STATE_INVALID")
    calls.ask("number", ALONE, number.Change(call_flow_id=NIL_UUID), CUSTOMER)
    assert calls.ask("flow", MENU, Delete(), CUSTOMER).is_done
    assert refusal(calls.ask("flow", MENU, Delete(), CUSTOMER)).status == 404


def test_a_number_runs_only_flows_that_are_there() -> None:
    calls = made(Calls())
    refused = refusal(numbered(calls, ALONE, "+15559876543", flow_id=OTHER))
    assert (refused.status, refused.field) == (400, "call_flow_id")
    assert calls.rows.get("number", ALONE) is None
    assert numbered(calls, ALONE, "+15559876543").is_done
    refused = refusal(calls.ask("number", ALONE, number.Change(message_flow_id=OTHER), CUSTOMER))
    assert (refused.status, refused.field) == (400, "message_flow_id")
    assert calls.ask("number", ALONE, number.Change(message_flow_id=MENU), CUSTOMER).is_done


def test_a_number_is_one_customers_however_it_is_written() -> None:
    calls = Calls()
    assert numbered(calls, ALONE, "+15559876543", flow_id=NIL_UUID).is_done
    refused = refusal(numbered(calls, MENU, "15559876543", flow_id=NIL_UUID, customer=OTHER))
    assert (refused.status, refused.reason, refused.field) == (409, "ALREADY_EXISTS", "number")
    assert calls.rows.get("number", MENU) is None
    calls.ask("number", ALONE, Delete(), CUSTOMER)
    assert numbered(calls, MENU, "15559876543", flow_id=NIL_UUID, customer=OTHER).is_done


def test_two_who_want_one_number_in_one_group_do_not_both_get_it() -> None:
    calls = Calls()
    units = [
        calls.unit(
            Tell("number", number_id, number.Make(number_id, CUSTOMER, "100", "", "", NIL_UUID, NIL_UUID)),
            is_asked=True,
            customer_id=CUSTOMER,
        )
        for number_id in (ALONE, MENU)
    ]
    assert [result.is_done for result in calls.group(*units)] == [True, False]


def test_flows_and_numbers_are_not_taken_up_at_a_start() -> None:
    calls = made(Calls())
    numbered(calls, ALONE, "100")
    assert calls.rows.open == set()


# When one has ended


def completing(*, next_flow: str = MENU, **start: Any) -> Calls:
    """One that ends at once, and another flow that runs then."""
    calls = made(Calls(), sleep(1_000))
    begin = activeflow.Start(ALONE, CUSTOMER, NIL_UUID, (), on_complete_flow_id=next_flow, **start)
    calls.tell("activeflow", ALONE, begin)
    return calls


def followers(calls: Calls) -> list[Any]:
    """Every other activeflow, as it was told of last."""
    found = {data["id"]: data for _, about, data in calls.events if about.startswith("activeflow/")}
    return [data for row_id, data in found.items() if row_id not in (ALONE, FLOW_ID)]


def test_when_one_has_ended_the_next_one_begins_in_the_same_commit() -> None:
    calls = completing(variables={"name": "Ada"})
    (next_one,) = followers(calls)
    state = calls.state("activeflow", next_one["id"])
    shown = state.activeflow
    assert (shown.flow_id, shown.status, shown.reference_activeflow_id) == (MENU, "running", ALONE)
    assert (state.complete_count, state.execution.variables) == (1, {"name": "Ada"})
    assert calls.state("activeflow", ALONE).execution.variables == {}


def test_a_chain_of_them_has_an_end() -> None:
    calls = Calls()
    calls.ask("flow", MENU, flow.Make(MENU, CUSTOMER, "", "", (), NIL_UUID), CUSTOMER)
    calls.ask("flow", MENU, flow.Change(on_complete_flow_id=MENU), CUSTOMER)
    calls.tell("activeflow", ALONE, activeflow.Start(ALONE, CUSTOMER, NIL_UUID, (), on_complete_flow_id=MENU))
    assert len(followers(calls)) == activeflow_module.MAX_COMPLETE_COUNT
    assert {data["status"] for data in followers(calls)} == {"ended"}


@pytest.mark.parametrize("next_flow", [OTHER, NIL_UUID])
def test_a_next_flow_that_is_not_there_is_none(next_flow: str) -> None:
    assert followers(completing(next_flow=next_flow)) == []


def test_one_that_is_deleted_is_followed_by_nothing() -> None:
    calls = made(Calls(), sleep(1_000))
    block = actions_of({"type": "block"})
    calls.tell("activeflow", ALONE, activeflow.Start(ALONE, CUSTOMER, NIL_UUID, block, on_complete_flow_id=MENU))
    calls.ask("activeflow", ALONE, Delete(), CUSTOMER)
    assert followers(calls) == []
    assert (alone(calls).status, alone(calls).tm_delete is None) == ("ended", False)


def test_what_follows_a_calls_flow_has_no_call() -> None:
    calls = made(Calls(), sleep(1_000))
    calls.arrive(actions=actions_of(sleep(5_000)), on_complete_flow_id=MENU)
    calls.gone()
    (next_one,) = followers(calls)
    assert (next_one["reference_type"], next_one["reference_id"]) == ("call", calls.call.id)
    assert (next_one["status"], next_one["current_action"]["type"]) == ("running", "sleep")


def test_no_customer_runs_more_without_a_call_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activeflow_module, "MAX_RUNNING", 2)
    calls = Calls()
    block = actions_of({"type": "block"})

    def ask(flow_id: str) -> Result:
        start = activeflow.Start(flow_id, CUSTOMER, NIL_UUID, block, is_asked=True)
        return calls.ask("activeflow", flow_id, start, CUSTOMER)

    assert [ask(flow_id).is_done for flow_id in (ALONE, MENU)] == [True, True]
    assert refusal(ask(OTHER)).status == 429
    assert calls.rows.get("activeflow", OTHER) is None
    calls.ask("activeflow", ALONE, activeflow.StopAsked(), CUSTOMER)
    assert ask(OTHER).is_done


# What is sent to an address


FETCH = {"type": "fetch", "option": {"event_url": "http://a.test/menu"}}
SEND = {"type": "webhook_send", "option": {"uri": "http://a.test/", "data": "{}", "sync": True}}


def asked(calls: Calls) -> WebRequest:
    (command,) = [order.pending.command for order in calls.pending() if isinstance(order.pending.command, WebRequest)]
    return command


def answer(calls: Calls, body: Any = b"", status_code: int = 200, *, is_whole: bool = True) -> None:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    calls.end(WebRequest, Answered(status_code, content, is_whole))


def test_fetch_asks_who_it_is_for_and_runs_what_is_answered() -> None:
    calls = started(FETCH, sleep(3_000))
    request = asked(calls)
    assert (request.method, request.uri, request.content_type) == ("POST", "http://a.test/menu", "application/json")
    assert msgspec.json.decode(request.body) == {"activeflow_id": ALONE, "reference_id": NIL_UUID}
    answer(calls, [{"id": "here", "type": "sleep", "option": {"duration": 2_000}}, {"type": "empty", "next_id": ""}])
    assert alone(calls).current_action.option == {"duration": 2_000}
    calls.wait(timedelta(seconds=2))
    assert alone(calls).current_action.option == {"duration": 3_000}
    assert executed(calls, ALONE) == ["fetch", "sleep", "empty"]


@pytest.mark.parametrize(
    ("body", "how", "said"),
    [
        (b"{", {}, "is not JSON"),
        ([{"type": "nothing"}], {}, "nothing"),
        ([{"type": "empty"}] * 101, {}, "100 actions at most"),
        ([], {"is_whole": False}, "bytes"),
        ([], {"status_code": 404}, "The server answered 404."),
    ],
)
def test_what_cannot_be_fetched_ends_the_flow(body: Any, how: dict[str, Any], said: str) -> None:
    calls = started(FETCH, sleep(3_000))
    answer(calls, body, **how)
    assert alone(calls).status == "ended"
    assert said in alone(calls).executed_actions[-1].error


def test_what_nobody_answers_ends_a_fetch_and_not_what_was_only_sent() -> None:
    calls = started(FETCH, sleep(3_000))
    calls.end(WebRequest, Refused("Nothing listens on a.test."))
    assert (alone(calls).status, alone(calls).executed_actions[-1].error) == ("ended", "Nothing listens on a.test.")
    calls = started(SEND, sleep(3_000))
    calls.end(WebRequest, Refused("Nothing listens on a.test."))
    assert alone(calls).current_action.type == "sleep"
    assert alone(calls).executed_actions[0].error == "Nothing listens on a.test."


def test_what_is_sent_has_its_variables_filled_in_as_json() -> None:
    option = {"uri": "http://a.test/${who}", "method": "PUT", "data": '{"who": "${who}"}', "sync": True}
    calls = started({"type": "webhook_send", "option": option}, variables={"who": 'Ada "L"'})
    request = asked(calls)
    assert (request.method, request.uri) == ("PUT", "http://a.test/Ada%20%22L%22")
    assert msgspec.json.decode(request.body) == {"who": 'Ada "L"'}
    assert alone(calls).current_action.option == option


def test_what_is_no_json_once_it_is_filled_in_is_not_sent() -> None:
    option = {"uri": "http://a.test/", "data": '{"count": ${count}}', "sync": True}
    calls = started({"type": "webhook_send", "option": option}, sleep(1_000))
    assert not calls.pending()
    assert "data is not JSON" in alone(calls).executed_actions[0].error


def test_an_answer_after_the_end_means_nothing() -> None:
    calls = started(FETCH, sleep(3_000))
    calls.ask("activeflow", ALONE, activeflow.StopAsked(), CUSTOMER)
    before = len(calls.events)
    answer(calls, [{"type": "empty"}])
    assert (len(calls.events), alone(calls).status) == (before, "ended")


def test_beside_a_call_a_fetch_is_shown_and_abandoned_when_the_caller_leaves() -> None:
    calls = answered({"type": "answer"}, FETCH, {"type": "echo"})
    calls.wait(timedelta(0))
    assert calls.shown("call/", "action")[-1][1]["type"] == "fetch"
    calls.gone()
    answer(calls, [{"type": "empty"}])
    assert calls.types("call/")[-1] == "call_hungup"
    assert calls.types("activeflow/")[-1] == "activeflow_deleted"


# Sounds


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "a//b", "https://a.test/x.wav", "a b", ""])
def test_only_a_sound_of_the_switchs_own_is_played_whatever_a_variable_says(name: str) -> None:
    setting = {"type": "variable_set", "option": {"key": "what", "value": name}}
    calls = calling(setting, {"type": "play", "option": {"stream_urls": ["sound:${what}"]}}, sleep(5_000))
    assert calls.pending_kinds() == []
    assert "is no sound" in calls.flow.executed_actions[-1].error
    assert calls.call.action.type == "sleep"
