"""How a flow goes on: to the next action that acts, and never for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.domain.catalogue.fields import Action
from offhook.flows.execution import (
    MAX_ACTING_STEPS,
    MAX_PUSHED,
    MAX_RUNS,
    Begun,
    Execution,
    Known,
    Over,
    advance,
    pushed,
    started,
)
from offhook.flows.options import DigitsReceive, Play, Sleep, Talk
from offhook.flows.reading import FINISH_ID, read_actions
from tests.rounds import examples

NOW = datetime(2026, 11, 30, 14, 5, 30, tzinfo=UTC)
CALL = Known({"voipbin.call.source.target": "+15551234567"}, "progressing", NOW)
NO_CALL = Known({}, "", NOW)


def flow(*actions: dict[str, Any], variables: dict[str, str] | None = None) -> Execution:
    return started(read_actions(list(actions)), variables or {})


def sleep(number: int = 0, **rest: Any) -> dict[str, Any]:
    return {"type": "sleep", "option": {"duration": number}, **rest}


def run(execution: Execution, known: Known = CALL, at_most: int = 50) -> tuple[list[str], Over | None]:
    """The types of the actions that act, in order, and the end."""
    seen: list[str] = []
    for _ in range(at_most):
        moved = advance(execution, known)
        if isinstance(moved, Over):
            return seen, moved
        option = moved.option
        seen.append(str(option.duration) if isinstance(option, Sleep) else moved.action.type)
        execution = moved.execution
    return seen, None


def end_of(execution: Execution, known: Known = CALL) -> tuple[list[str], Over]:
    seen, over = run(execution, known)
    assert over is not None
    return seen, over


def test_a_flow_without_actions_is_over_at_once() -> None:
    assert end_of(flow()) == ([], Over(flow(), ()))


def test_actions_follow_each_other_and_next_id_beats_the_order() -> None:
    seen, over = end_of(flow(sleep(1, next_id="c"), sleep(2, id="b", next_id=FINISH_ID), sleep(3, id="c", next_id="b")))
    assert seen == ["1", "3", "2"]
    assert over.error == ""


def test_what_only_decides_is_walked_through_and_told_with_the_next() -> None:
    execution = flow({"type": "variable_set", "option": {"key": "a", "value": "b"}}, {"type": "empty"}, sleep(5))
    moved = advance(execution, CALL)
    assert isinstance(moved, Begun)
    assert [step.type for step in moved.steps] == ["variable_set", "empty"]
    assert {step.tm_execute for step in (*moved.steps, moved.action)} == {"2026-11-30T14:05:30Z"}
    assert moved.execution.variables == {"a": "b"}


def test_goto_jumps_as_often_as_it_says_and_begins_anew_once_it_fell_through() -> None:
    inner = {"type": "goto", "option": {"target_id": "a", "loop_count": 2}}
    outer = {"type": "goto", "option": {"target_id": "a", "loop_count": 1}}
    seen, over = end_of(flow(sleep(1, id="a"), inner, outer, sleep(2)))
    assert seen == ["1"] * 6 + ["2"]
    assert over.execution.jumps == {}


def test_a_goto_without_a_count_falls_through() -> None:
    seen, _ = end_of(flow(sleep(1, id="a"), {"type": "goto", "option": {"target_id": "a"}}))
    assert seen == ["1"]


def test_a_branch_goes_where_the_digits_say_and_clears_them() -> None:
    branch = {"type": "branch", "option": {"default_target_id": "no", "target_ids": {"1": "one"}}}
    execution = flow(branch, sleep(0, id="no", next_id=FINISH_ID), sleep(1, id="one"))
    assert end_of(execution)[0] == ["0"]
    seen, over = end_of(execution.with_digits("1"))
    assert seen == ["1"]
    assert over.execution.digits == ""


def test_a_branch_to_nowhere_ends_the_flow() -> None:
    assert end_of(flow({"type": "branch", "option": {}}, sleep(1)))[0] == []


def test_conditions_go_on_or_jump() -> None:
    option = {"condition": "==", "variable": "${who}", "value_string": "Ann", "false_target_id": "other"}
    actions = ({"type": "condition_variable", "option": option}, sleep(1, next_id=FINISH_ID), sleep(2, id="other"))
    assert end_of(flow(*actions, variables={"who": "Ann"}))[0] == ["1"]
    assert end_of(flow(*actions, variables={"who": "Bob"}))[0] == ["2"]
    status = {"type": "condition_call_status", "option": {"status": "ringing"}}
    assert end_of(flow(status, sleep(1)))[0] == []
    digits = {"type": "condition_call_digits", "option": {"length": 1, "false_target_id": ""}}
    assert end_of(flow(digits, sleep(1)).with_digits("4"))[0] == ["1"]


def test_the_options_variables_are_filled_in_and_what_is_shown_is_as_written() -> None:
    moved = advance(flow({"type": "talk", "option": {"text": "Hello ${voipbin.call.source.target}"}}), CALL)
    assert isinstance(moved, Begun)
    assert moved.option == Talk(text="Hello +15551234567")
    assert moved.action.option == {"text": "Hello ${voipbin.call.source.target}"}


def test_a_flow_cannot_pass_for_the_system() -> None:
    setting = {"type": "variable_set", "option": {"key": "voipbin.call.source.target", "value": "x"}}
    moved = advance(flow(setting, {"type": "talk", "option": {"text": "${voipbin.call.source.target}"}}), CALL)
    assert isinstance(moved, Begun)
    assert moved.option == Talk(text="+15551234567")
    assert "cannot be set" in moved.steps[0].error


def test_an_action_that_cannot_be_read_is_passed_over_with_its_reason() -> None:
    play = {"type": "play", "option": {"stream_urls": ["${nothing}"]}}
    moved = advance(flow(play, {"type": "digits_receive", "option": {"key": "${k}"}}, variables={"k": "#"}), CALL)
    assert isinstance(moved, Begun)
    assert moved.option == DigitsReceive(key="#")
    assert moved.steps[0].error != ""


def test_a_fetch_that_cannot_be_read_ends_the_flow() -> None:
    seen, over = end_of(flow({"type": "fetch", "option": {"event_url": "${nothing}"}}, sleep(1)))
    assert seen == []
    assert over.error != ""
    assert over.steps[-1].error == over.error


def test_without_a_call_what_needs_one_is_passed_over() -> None:
    seen, over = end_of(flow({"type": "talk", "option": {"text": "hi"}}, sleep(1)), NO_CALL)
    assert seen == ["1"]
    first = advance(flow({"type": "answer"}, sleep(1)), NO_CALL)
    assert isinstance(first, Begun)
    assert first.steps[0].error == "There is no call."
    assert over.error == ""


def test_a_list_that_was_pushed_is_run_before_what_follows() -> None:
    first = advance(flow(sleep(1), sleep(4)), CALL)
    assert isinstance(first, Begun)
    execution = pushed(first.execution, read_actions([sleep(2), sleep(3)]))
    assert execution is not None
    assert end_of(execution)[0] == ["2", "3", "4"]


def test_stop_ends_every_list() -> None:
    first = advance(flow(sleep(1), sleep(4)), CALL)
    assert isinstance(first, Begun)
    execution = pushed(first.execution, read_actions([{"type": "stop"}]))
    assert execution is not None
    assert end_of(execution)[0] == []


def test_lists_are_pushed_a_hundred_times_at_most() -> None:
    execution: Execution | None = flow(sleep(1))
    for _ in range(MAX_PUSHED):
        assert execution is not None
        execution = pushed(execution, ())
    assert execution is not None
    assert pushed(execution, ()) is None


def test_internal_steps_in_a_row_are_bounded() -> None:
    _, over = end_of(flow({"id": "a", "type": "empty", "next_id": "a"}))
    assert "1000 steps" in over.error
    assert len(over.steps) > 1_000 - 2


def test_an_action_is_begun_a_hundred_times_at_most() -> None:
    seen, over = run(flow(sleep(1, id="a", next_id="a")), at_most=1_000)
    assert len(seen) == MAX_RUNS
    assert over is not None
    assert "100 times" in over.error


IDS = [f"a{number}" for number in range(6)]


def any_action() -> st.SearchStrategy[dict[str, Any]]:
    target = st.sampled_from([*IDS, ""])
    text = st.sampled_from(["", "1", "${x}", "${voipbin.call.digits}"])
    option: dict[str, st.SearchStrategy[Any]] = {
        "goto": st.fixed_dictionaries({"target_id": st.sampled_from(IDS), "loop_count": st.integers(0, 1_000_000)}),
        "branch": st.fixed_dictionaries(
            {"default_target_id": target, "target_ids": st.dictionaries(st.sampled_from("12"), target)}
        ),
        "condition_variable": st.fixed_dictionaries(
            {"condition": st.sampled_from(["==", "!=", "<"]), "variable": text, "false_target_id": target}
        ),
        "variable_set": st.fixed_dictionaries({"key": st.sampled_from(["x", "voipbin.x"]), "value": text}),
        "sleep": st.fixed_dictionaries({"duration": st.integers(0, 9)}),
        "talk": st.fixed_dictionaries({"text": st.sampled_from(["hi", "${x}"])}),
        "digits_receive": st.fixed_dictionaries({"key": st.sampled_from(["", "#", "${x}"])}),
        "stop": st.just({}),
        "empty": st.just({}),
    }
    return st.sampled_from(sorted(option)).flatmap(
        lambda name: st.fixed_dictionaries(
            {"type": st.just(name), "option": option[name], "next_id": st.sampled_from(["", "", *IDS, FINISH_ID])}
        )
    )


@settings(max_examples=examples(1_000), deadline=None)
@given(
    actions=st.lists(any_action(), min_size=6, max_size=6),
    known=st.sampled_from([CALL, NO_CALL]),
    typed=st.lists(st.sampled_from("12"), max_size=4),
)
def test_no_flow_runs_for_ever_and_every_state_can_be_kept(
    actions: list[dict[str, Any]], known: Known, typed: list[str]
) -> None:
    execution = flow(*({"id": word, **action} for word, action in zip(IDS, actions, strict=True)))
    acting = 0
    moved: Begun | Over = advance(execution, known)
    while isinstance(moved, Begun):
        acting += 1
        assert acting <= len(actions) * MAX_RUNS <= MAX_ACTING_STEPS
        assert isinstance(moved.option, Sleep | Talk | DigitsReceive | Play)
        assert msgspec.json.decode(msgspec.json.encode(moved.execution), type=Execution) == moved.execution
        execution = moved.execution
        if typed:
            execution = execution.with_digits(typed.pop())
        moved = advance(execution, known)
    assert all(isinstance(step, Action) and step.tm_execute for step in moved.steps)
