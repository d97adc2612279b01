"""Streams that a real Asterisk 22 sent, in the port's terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.switch.asterisk.inputs import EVENT_TYPES, started_at
from offhook.switch.asterisk.mapping import callers_in, channel_of, input_of
from offhook.switch.port import (
    Channel,
    ChannelAnswered,
    ChannelArrived,
    ChannelGone,
    ChannelRinging,
    PlaybackFinished,
    SwitchInput,
)

EVENTS = Path(__file__).parent.parent / "fixtures" / "asterisk-events"


def lines(name: str, source: str) -> list[dict[str, Any]]:
    """A recorded scenario; there our application was called `lab` and its argument for callers `inbound`."""
    text = (
        (EVENTS / f"{name}.jsonl").read_text().replace('"inbound"', '"incoming"').replace("lab,inbound", "lab,incoming")
    )
    return [line["event"] for line in map(msgspec.json.decode, text.splitlines()) if line["src"] == source]


def heard(name: str) -> list[SwitchInput]:
    return [told for event in lines(name, "ari") if (told := input_of(event)) is not None]


def caller(channel_id: str, dialled: str) -> ChannelArrived:
    return ChannelArrived(Channel(channel_id, False, "", "phone1", dialled))


@pytest.mark.parametrize(
    ("scenario", "inputs"),
    [
        (
            "inbound_answer_record_caller_hangs_up",
            [caller("1795433561.0", "100"), ChannelAnswered("1795433561.0"), ChannelGone("1795433561.0", 0, 0)],
        ),
        (
            "inbound_caller_cancels_while_ringing",
            [caller("1795433574.2", "102"), ChannelGone("1795433574.2", 127, 487)],
        ),
        ("inbound_rejected_busy", [caller("1795433576.3", "103"), ChannelGone("1795433576.3", 17, 486)]),
        (
            "inbound_answer_play_app_hangs_up",
            [
                caller("1795433569.1", "101"),
                ChannelAnswered("1795433569.1"),
                PlaybackFinished("1795433569.1", "57fa95a9-c6b7-4d37-8fb8-4c31920e3b1d"),
                ChannelGone("1795433569.1", 16, 0),
            ],
        ),
        ("outbound_busy", [ChannelRinging("out-1"), ChannelGone("out-1", 17, 486)]),
        ("outbound_no_answer", [ChannelRinging("out-1"), ChannelGone("out-1", 19, 480)]),
        (
            "outbound_answered_callee_hangs_up",
            [ChannelRinging("out-1"), ChannelAnswered("out-1"), ChannelGone("out-1", 0, 0)],
        ),
    ],
)
def test_a_recorded_call_is_told_as_it_happened(scenario: str, inputs: list[SwitchInput]) -> None:
    assert heard(scenario) == inputs


def test_no_event_that_means_something_is_filtered_out_at_the_source() -> None:
    for path in EVENTS.glob("*.jsonl"):
        for event in lines(path.stem, "ari"):
            assert input_of(event) is None or event["type"] in EVENT_TYPES


def test_only_callers_in_our_application_are_ours_after_a_reconnect() -> None:
    channels = next(
        event["answer"] for event in lines("app_disconnects_and_returns", "rest") if event["path"] == "channels"
    )
    assert len(channels) == 2  # the other one belongs to Asterisk itself
    assert callers_in(channels, "lab") == (Channel("1795433688.42", True, "", "phone1", "106"),)
    assert callers_in(channels, "offhook") == ()


def test_what_was_dialled_is_read_from_our_dialplan_s_variable_first() -> None:
    event = next(event for event in lines("inbound_rejected_busy", "ari") if event["type"] == "StasisStart")
    channel = event["channel"] | {"dialplan": event["channel"]["dialplan"] | {"exten": "s"}}
    assert channel_of(channel | {"channelvars": {"OFFHOOK_DIALLED": "a,b"}}, ["incoming"]).dialled == "a,b"
    assert channel_of(channel, ["incoming", "200"]).dialled == "200"
    assert channel_of(channel, ["incoming"]).dialled == "s"


def test_an_asterisk_16_has_no_tech_cause() -> None:
    event = next(event for event in lines("inbound_rejected_busy", "ari") if event["type"] == "ChannelDestroyed")
    del event["tech_cause"]
    assert input_of(event) == ChannelGone("1795433576.3", 17, 0)


def test_when_the_switch_began() -> None:
    assert started_at({"status": {"startup_time": "2026-11-23T20:18:16.663+0000"}}).isoformat() == (
        "2026-11-23T20:18:16.663000+00:00"
    )
