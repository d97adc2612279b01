"""Variables: one pass, escaped for where they go, within bounds."""

from __future__ import annotations

import json
import time
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.errors import InvalidError
from offhook.flows.variables import DIGITS, TooLongError, checked_variables, fault_of_setting, filled, filled_option


def test_an_unknown_name_is_the_empty_text() -> None:
    assert filled("a${b}c", {}) == "ac"


def test_what_was_put_in_is_not_looked_at_again() -> None:
    assert filled("${a}", {"a": "${b}", "b": "secret"}) == "${b}"


def test_strings_are_filled_in_wherever_they_are_and_keys_are_not() -> None:
    option = {"a": ["${x}", 1, {"${x}": "${x}"}], "b": True}
    assert filled_option("empty", option, {"x": "1"}) == {"a": ["1", 1, {"${x}": "1"}], "b": True}


@given(value=st.text())
def test_a_value_cannot_write_json(value: str) -> None:
    option = filled_option("webhook_send", {"data": '{"who": "${x}", "n": 1}'}, {"x": value})
    assert json.loads(option["data"]) == {"who": value, "n": 1}


@given(value=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f\ufffe\uffff")))
def test_a_value_cannot_write_ssml(value: str) -> None:
    option = filled_option("talk", {"text": "<speak>Hello ${x}</speak>"}, {"x": value})
    root = ElementTree.fromstring(option["text"])
    assert list(root) == []
    assert root.text == f"Hello {value}".replace("\r", "\n")


def test_plain_text_is_spoken_as_it_is() -> None:
    assert filled_option("talk", {"text": "${x}"}, {"x": "Tom & Jerry"}) == {"text": "Tom & Jerry"}


def test_a_value_is_one_part_of_an_address() -> None:
    filled_in = filled_option("fetch", {"event_url": "https://a.test/${x}?q=${x}"}, {"x": "../?a=b&c@evil"})
    assert filled_in == {"event_url": "https://a.test/..%2F%3Fa%3Db%26c%40evil?q=..%2F%3Fa%3Db%26c%40evil"}


def test_a_value_at_the_beginning_may_be_a_whole_address() -> None:
    filled_in = filled_option("webhook_send", {"uri": "${base}/x"}, {"base": "https://a.test:8443/ä"})
    assert filled_in == {"uri": "https://a.test:8443/%C3%A4/x"}


def test_the_systems_own_names_are_left_out_of_a_request() -> None:
    assert checked_variables({"voipbin.call.id": "x", "a": "b"}) == {"a": "b"}


@pytest.mark.parametrize(
    "too_much",
    [
        {f"v{number}": "" for number in range(101)},
        {"v": "x" * 32_769},
        {"a": "ä" * 16_000, "b": "ä" * 16_000, "c": "x" * 2_000},
    ],
)
def test_there_are_bounds(too_much: dict[str, str]) -> None:
    with pytest.raises(InvalidError) as caught:
        checked_variables(too_much)
    assert caught.value.reason == "INVALID_VARIABLES"
    name, value = too_much.popitem()
    assert fault_of_setting(too_much, name, value)


def test_of_the_systems_own_only_the_digits_can_be_set() -> None:
    assert fault_of_setting({}, DIGITS, "12") == ""
    assert "cannot be set" in fault_of_setting({}, "voipbin.call.id", "x")


def test_a_text_of_many_beginnings_is_read_at_once() -> None:
    text = "${" * 100_000
    began_s = time.process_time()
    assert filled(text, {}) == text
    assert time.process_time() - began_s < 2


def test_what_is_filled_in_is_bounded_before_it_is_there() -> None:
    with pytest.raises(TooLongError):
        filled_option("variable_set", {"value": "${a}" * 50_000}, {"a": "x" * 32_000})
