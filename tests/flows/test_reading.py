"""Reading a flow: whole or not at all, and each fault with its place."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID, is_uuid
from offhook.flows.options import OPTIONS
from offhook.flows.reading import FINISH_ID, MAX_ACTIONS, read_actions


def refusal(*actions: Any) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        read_actions(list(actions))
    return caught.value


def test_a_flow_may_have_no_action() -> None:
    assert read_actions([]) == ()


def test_ids_that_are_words_become_uuids_and_every_reference_follows() -> None:
    ask, talk, bye = read_actions(
        [
            {"id": "a1", "type": "branch", "option": {"default_target_id": "a3", "target_ids": {"1": "a2", "2": ""}}},
            {"id": "a2", "type": "talk", "option": {"text": "hi"}, "next_id": "a1"},
            {"id": "a3", "type": "condition_variable", "option": {"condition": "==", "variable": "${x}",
                                                                  "false_target_id": "a2"}},
        ]
    )  # fmt: skip
    assert all(is_uuid(action.id) for action in (ask, talk, bye))
    assert ask.option == {"default_target_id": bye.id, "target_ids": {"1": talk.id, "2": NIL_UUID}}
    assert talk.next_id == ask.id
    assert bye.option["false_target_id"] == talk.id


def test_a_uuid_stays_and_is_found_in_capitals_too() -> None:
    own = "6ba7b812-9dad-11d1-80b4-00c04fd430c8"
    goto, sleep = read_actions(
        [{"type": "goto", "option": {"target_id": own.upper(), "loop_count": 1}}, {"id": own, "type": "sleep"}]
    )
    assert sleep.id == own
    assert goto.option["target_id"] == own


def test_the_end_of_the_list_can_be_named() -> None:
    (sleep,) = read_actions([{"type": "sleep", "next_id": FINISH_ID}])
    assert sleep.next_id == FINISH_ID


def test_options_are_kept_as_they_are_written() -> None:
    option = {"uri": "https://example.com/${voipbin.call.id}", "data": '{"a": ${b}}', "method": "${m}", "sync": True}
    (action,) = read_actions([{"type": "webhook_send", "option": option}])
    assert action.option == option


@pytest.mark.parametrize(
    ("action", "field", "reason", "part"),
    [
        (7, "", "INVALID_ARGUMENT", "object"),
        ({}, "type", "INVALID_ACTION_TYPE", "type of action"),
        ({"type": "tlak"}, "type", "INVALID_ACTION_TYPE", "talk"),
        ({"type": "confbridge_join"}, "type", "INVALID_ACTION_TYPE", "confbridge_join"),
        ({"type": "sleep", "options": {}}, "options", "INVALID_ARGUMENT", "option"),
        ({"type": "sleep", "option": []}, "option", "INVALID_ARGUMENT", "object"),
        ({"type": "sleep", "option": {"durration": 1}}, "option.durration", "INVALID_ARGUMENT", "duration"),
        ({"type": "sleep", "option": {"duration": "1"}}, "option.duration", "INVALID_ARGUMENT", "int"),
        ({"type": "sleep", "option": {"duration": "${x}"}}, "option.duration", "INVALID_ARGUMENT", "int"),
        ({"type": "sleep", "option": {"duration": -1}}, "option.duration", "INVALID_ARGUMENT", "0"),
        ({"type": "sleep", "option": {"duration": 86_400_001}}, "option.duration", "INVALID_ARGUMENT", "86400000"),
        ({"type": "sleep", "option": {"duration": 1.5}}, "option.duration", "INVALID_ARGUMENT", "int"),
        ({"type": "talk"}, "option.text", "INVALID_ARGUMENT", "needs text"),
        ({"type": "talk", "option": {"text": "ä" * 10_001}}, "option.text", "INVALID_ARGUMENT", "20000"),
        ({"type": "play", "option": {"stream_urls": []}}, "option.stream_urls", "INVALID_ARGUMENT", "1"),
        ({"type": "goto", "option": {"loop_count": 1}}, "option.target_id", "INVALID_ARGUMENT", "needs target_id"),
        ({"type": "goto", "option": {"target_id": ""}}, "option.target_id", "INVALID_ARGUMENT", "goto needs"),
        ({"type": "goto", "option": {"target_id": "no"}}, "option.target_id", "INVALID_ARGUMENT", "no action no"),
        ({"type": "sleep", "next_id": "no"}, "next_id", "INVALID_ARGUMENT", "no action no"),
        ({"id": FINISH_ID, "type": "sleep"}, "id", "INVALID_ARGUMENT", "system's own"),
        ({"type": "webhook_send", "option": {"uri": "x", "method": "PATCH"}}, "option.method", "INVALID_ARGUMENT",
         "PATCH"),
        ({"type": "webhook_send", "option": {"uri": "x", "data": "{"}}, "option.data", "INVALID_ARGUMENT", "JSON"),
        ({"type": "webhook_send", "option": {"uri": "x", "data": "[" * 60_000}}, "option.data", "INVALID_ARGUMENT",
         "JSON"),
        ({"type": "variable_set", "option": {"key": "a", "value": "x" * 66_000}}, "option", "INVALID_ARGUMENT",
         "65536"),
        ({"type": "digits_send", "option": {"digits": "5\n"}}, "option.digits", "INVALID_ARGUMENT", "regex"),
        ({"type": "digits_receive", "option": {"key": "x"}}, "option.key", "INVALID_ARGUMENT", "regex"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(action: Any, field: str, reason: str, part: str) -> None:
    error = refusal({"type": "answer"}, action)
    assert error.reason == reason
    detail = error.details[0]
    assert detail["index"] == 1
    assert detail["field"] == ("actions[1]" + (f".{field}" if field else ""))
    assert part in detail["message"]
    assert detail["message"] in error.message


def test_every_faulty_action_is_named_once() -> None:
    error = refusal({"type": "x"}, {"type": "answer"}, {"type": "sleep", "option": {"a": 1, "b": 2}})
    assert [detail["index"] for detail in error.details] == [0, 2]
    assert "1 more" in error.message


def test_two_actions_of_one_id_are_refused() -> None:
    assert "already" in refusal({"id": "a", "type": "answer"}, {"id": "a", "type": "answer"}).message


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({}, "list"),
        ([{"type": "answer"}] * (MAX_ACTIONS + 1), "500"),
        ([{"type": "talk", "option": {"text": "x" * 20_000}}] * 14, "262144"),
    ],
)
def test_what_is_too_much_is_refused_as_a_whole(given: Any, part: str) -> None:
    with pytest.raises(InvalidError, match=part) as caught:
        read_actions(given)
    assert caught.value.field == "actions"


def test_what_names_something_outside_is_asked_about_unless_it_has_variables() -> None:
    asked: list[tuple[str, str, Any]] = []

    def check(action_type: str, name: str, value: Any) -> str:
        asked.append((action_type, name, value))
        return "That is a private network." if value.startswith("http://10.") else ""

    play = {"type": "play", "option": {"stream_urls": ["http://${host}/a", "http://10.0.0.1/a"]}}
    with pytest.raises(InvalidError, match="private network"):
        read_actions([play], check=check)
    assert asked == [("play", "stream_urls", "http://10.0.0.1/a")]


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_type_tells_what_it_takes(name: str) -> None:
    assert OPTIONS[name].__doc__
    assert name in refusal({"type": name, "option": {"nonsense": 1}}).message


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidError, match="JSON"):
        read_actions([{"type": "talk", "option": {"text": "\ud800"}}])
