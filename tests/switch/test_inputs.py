"""Streams that a real Asterisk 22 sent, and what they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.domain.switch.inputs import (
    Channel,
    ChannelAnswered,
    ChannelArrived,
    ChannelEntered,
    ChannelGone,
    ChannelHeld,
    ChannelRinging,
    ChannelUnheld,
    PlaybackFinished,
    SwitchInput,
)
from offhook.switch.asterisk.inputs import (
    EVENT_TYPES,
    callers_in,
    channel_of,
    created_in,
    input_of,
    is_in_application,
    started_at,
)

EVENTS = Path(__file__).parent.parent / "fixtures" / "asterisk-events"
SWITCH = "switch-1"
ECHO = "inbound_echo_created_and_dialled"


def lines(name: str, source: str) -> list[dict[str, Any]]:
    """A recorded scenario; in the older ones our application is `lab`, and its arguments `inbound` and `outbound`."""
    text = (EVENTS / f"{name}.jsonl").read_text()
    for theirs, ours in (("inbound", "incoming"), ("outbound", "outgoing")):
        text = text.replace(f'"{theirs}"', f'"{ours}"').replace(f"lab,{theirs}", f"lab,{ours}")
    return [line["event"] for line in map(msgspec.json.decode, text.splitlines()) if line["src"] == source]


def heard(name: str) -> list[SwitchInput]:
    return [told for event in lines(name, "ari") if (told := input_of(event, SWITCH)) is not None]


def caller(channel_id: str, dialled: str) -> ChannelArrived:
    return ChannelArrived(Channel(SWITCH, channel_id, False, "", "phone1", dialled))


def answered(channel_id: str) -> ChannelAnswered:
    return ChannelAnswered(SWITCH, channel_id)


def gone(channel_id: str, cause: int = 0, tech_cause: int = 0) -> ChannelGone:
    return ChannelGone(SWITCH, channel_id, cause, tech_cause)


RINGING = ChannelRinging(SWITCH, "out-1")


@pytest.mark.parametrize(
    ("scenario", "inputs"),
    [
        (
            "inbound_answer_record_caller_hangs_up",
            [caller("1795433561.0", "100"), answered("1795433561.0"), gone("1795433561.0")],
        ),
        ("inbound_caller_cancels_while_ringing", [caller("1795433574.2", "102"), gone("1795433574.2", 127, 487)]),
        ("inbound_rejected_busy", [caller("1795433576.3", "103"), gone("1795433576.3", 17, 486)]),
        (
            "inbound_answer_play_app_hangs_up",
            [
                caller("1795433569.1", "101"),
                answered("1795433569.1"),
                PlaybackFinished(SWITCH, "1795433569.1", "57fa95a9-c6b7-4d37-8fb8-4c31920e3b1d"),
                gone("1795433569.1", 16),
            ],
        ),
        ("outbound_busy", [RINGING, gone("out-1", 17, 486)]),
        ("outbound_no_answer", [RINGING, gone("out-1", 19, 480)]),
        (
            "outbound_answered_callee_hangs_up",
            [RINGING, answered("out-1"), ChannelEntered(SWITCH, "out-1"), gone("out-1")],
        ),
        (
            ECHO,
            [
                ChannelArrived(Channel(SWITCH, "1796053185.0", False, "", "+15550100123", "100")),
                answered("1796053185.0"),
                PlaybackFinished(SWITCH, "1796053185.0", "playback-1", has_failed=True),
                ChannelEntered(SWITCH, "echo-1"),
                answered("echo-1"),
                gone("echo-1", 16),
                gone("1796053185.0", 16),
            ],
        ),
    ],
)
def test_a_recorded_call_is_told_as_it_happened(scenario: str, inputs: list[SwitchInput]) -> None:
    assert heard(scenario) == inputs


def test_no_event_that_means_something_is_filtered_out_at_the_source() -> None:
    for path in EVENTS.glob("*.jsonl"):
        for event in lines(path.stem, "ari"):
            assert input_of(event, SWITCH) is None or event["type"] in EVENT_TYPES


def test_the_phones_own_hold() -> None:
    channel = {"channel": {"id": "1795433561.0"}}
    assert input_of({"type": "ChannelHold", **channel}, SWITCH) == ChannelHeld(SWITCH, "1795433561.0")
    assert input_of({"type": "ChannelUnhold", **channel}, SWITCH) == ChannelUnheld(SWITCH, "1795433561.0")


@pytest.mark.parametrize("args", [[], ["message"], ["Incoming"], ["echo "]])
def test_a_channel_that_came_otherwise_is_neither_a_caller_nor_made_by_us(args: list[str]) -> None:
    for event in lines(ECHO, "ari"):
        if event["type"] == "StasisStart":
            assert input_of(event | {"args": args}, SWITCH) is None


def test_after_a_reconnect_callers_and_channels_that_we_made_are_found_apart() -> None:
    channels = next(event["answer"] for event in lines(ECHO, "rest") if event["path"] == "channels")
    assert len(channels) == 3  # the other half of the echo is not in our application
    expected = Channel(SWITCH, "1796053185.0", True, "", "+15550100123", "100")
    assert callers_in(channels, "offhook", SWITCH) == (expected,)
    assert created_in(channels, "offhook") == ("echo-1",)
    assert (callers_in(channels, "lab", SWITCH), created_in(channels, "lab")) == ((), ())
    assert [is_in_application(channel) for channel in channels] == [False, True, True]


def test_a_caller_is_found_with_what_was_dialled() -> None:
    channels = next(
        event["answer"] for event in lines("app_disconnects_and_returns", "rest") if event["path"] == "channels"
    )
    assert len(channels) == 2  # the other one belongs to Asterisk itself
    assert callers_in(channels, "lab", SWITCH) == (Channel(SWITCH, "1795433688.42", True, "", "phone1", "106"),)
    assert created_in(channels, "lab") == ()


def test_what_has_left_the_application_is_not_found() -> None:
    channels = next(event["answer"] for event in lines(ECHO, "rest") if event["path"] == "channels")
    left = [channel | {"dialplan": channel["dialplan"] | {"app_name": "Hangup"}} for channel in channels]
    assert (callers_in(left, "offhook", SWITCH), created_in(left, "offhook")) == ((), ())


def test_what_was_dialled_is_read_from_our_dialplan_s_variable_first() -> None:
    event = next(event for event in lines("inbound_rejected_busy", "ari") if event["type"] == "StasisStart")
    channel = event["channel"] | {"dialplan": event["channel"]["dialplan"] | {"exten": "s"}}
    named = channel | {"channelvars": {"OFFHOOK_DIALLED": "a,b"}}
    ours = channel | {"dialplan": channel["dialplan"] | {"context": "offhook-call"}}
    assert channel_of(named, ["incoming"], SWITCH).dialled == "a,b"
    assert channel_of(channel, ["incoming", "200"], SWITCH).dialled == "200"
    assert channel_of(channel, ["incoming"], SWITCH).dialled == "s"
    assert channel_of(ours, ["incoming"], SWITCH).dialled == ""


def test_an_asterisk_16_has_no_tech_cause() -> None:
    event = next(event for event in lines("inbound_rejected_busy", "ari") if event["type"] == "ChannelDestroyed")
    del event["tech_cause"]
    assert input_of(event, SWITCH) == gone("1795433576.3", 17, 0)


def test_when_the_switch_began() -> None:
    assert started_at({"status": {"startup_time": "2026-11-23T20:18:16.663+0000"}}).isoformat() == (
        "2026-11-23T20:18:16.663000+00:00"
    )
