"""Whatever happens to calls, and in whatever order, each has its events once and comes to its end."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.domain.catalogue.fields import Action
from offhook.domain.switch.commands import Play
from offhook.flows.reading import read_actions
from tests.core.calls import GREETING
from tests.core.machine import commands
from tests.core.story import Story, call_of

MOVES: dict[str, set[str]] = {
    "dialing": {"ringing", "progressing", "terminating", "canceling", "hangup"},
    "ringing": {"progressing", "terminating", "canceling", "hangup"},
    "progressing": {"terminating", "hangup"},
    "terminating": {"hangup"},
    "canceling": {"hangup"},
    "hangup": set(),
}
"""Where a call may go from each status (facts, section 4.1)."""
ONCE = ("call_created", "call_ringing", "call_answered", "call_hungup", "activeflow_created", "activeflow_deleted")


def check_events(events: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """Of `events` (type, subject, data) none is there twice, and nothing comes after the end.

    They go along the table of moves, each with a difference to the one before.
    """
    by_subject: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for type_, subject, data in events:
        by_subject.setdefault(subject, []).append((type_, data))
    for told in by_subject.values():
        types = [type_ for type_, _ in told]
        assert all(types.count(type_) <= 1 for type_ in ONCE), types
        assert types[0].endswith("_created")
        assert not {"call_hungup", "activeflow_deleted"} & set(types[:-1]), types
        for (_, before), (_, after) in itertools.pairwise(told):
            different = {name for name in before if before[name] != after[name]}
            assert different - {"tm_update"}, types
            if "hangup_by" in before and before["status"] != after["status"]:
                assert after["status"] in MOVES[before["status"]], types


def check_end(story: Story) -> None:
    """Nobody is stuck, nothing is pending, no channel is left."""
    types = story.calls.types()
    assert story.open_calls() == []
    assert types.count("call_hungup") == types.count("call_created") == types.count("activeflow_deleted")
    assert story.calls.pending() == []
    assert story.calls.timers() == []
    assert not story.calls.rows.open
    assert not story.asterisk.legs
    assert all(count == 1 for count in (story.asterisk.play_counts + story.asterisk.dial_counts).values())
    assert not any(result.faults for result in story.calls.results)


def check_alive(story: Story) -> None:
    """Whoever is still on the phone hears itself, and nobody else has a call."""
    for _, call_id in story.open_calls():
        state = story.calls.state("call", call_id)
        assert state.channel_id in story.asterisk.legs
        assert (state.call.status, state.work.stage) == ("progressing", "echoing")
    for channel_id in story.asterisk.callers():
        assert ("call", call_of(channel_id)) in story.open_calls()
        assert story.asterisk.is_echoing(channel_id)
    assert story.calls.pending() == []


TALKING = read_actions(
    [
        {"type": "talk", "option": {"text": "Welcome."}},
        {"type": "talk", "option": {"text": "Press one.", "digits_handle": "next"}},
        {"type": "talk", "option": {"text": "Hold the line.", "async": True}},
        {"type": "digits_receive", "option": {"length": 1}},
        {"type": "talk", "option": {"text": "Thank you.", "digits_handle": "next", "async": True}},
        {"type": "sleep", "option": {"duration": 1_000}},
        {"type": "echo", "option": {}},
    ]
)


def check_controls(story: Story) -> None:
    """What is shown to be on is on."""
    for _, call_id in story.open_calls():
        state = story.calls.state("call", call_id)
        leg, metadata = story.asterisk.legs[state.channel_id], state.call.metadata
        muted = {"in", "out"} if state.call.mute_direction == "both" else {state.call.mute_direction} - {""}
        assert set(leg.muted) == muted | ({"in"} if "hold" in metadata else set())
        music = "music" if {"hold", "moh"} & set(metadata) else ""
        assert leg.heard == ("silence" if "silence" in metadata else music)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([0.05, 0.15, 0.4]), st.sampled_from([GREETING, TALKING])
)
def test_whatever_happens_every_call_has_its_events_once_and_its_end(
    seed: int, count: int, fault_rate: float, actions: tuple[Action, ...]
) -> None:
    story = Story(Random(seed), fault_rate=fault_rate, actions=actions)
    story.caller_comes()
    story.go_on(count=count)
    check_events(story.calls.events)
    story.settle()
    check_events(story.calls.events)
    check_alive(story)
    while story.asterisk.callers():
        story.caller_leaves()
    story.settle()
    check_events(story.calls.events)
    check_end(story)


@pytest.mark.parametrize("seed", range(20))
def test_when_all_goes_well_every_call_is_answered_greeted_and_hears_itself(seed: int) -> None:
    story = Story(Random(seed), fault_rate=0)
    story.caller_comes()
    story.go_on(count=80)
    story.settle()
    assert story.open_calls()
    check_alive(story)
    check_controls(story)
    assert all(story.asterisk.is_echoing(channel_id) for channel_id in story.asterisk.callers())
    assert story.calls.types("call/").count("call_answered") == story.caller_count
    assert sum(story.asterisk.play_counts.values()) == story.caller_count
    while story.asterisk.callers():
        story.caller_leaves()
    story.settle()
    check_end(story)
    assert not story.asterisk.bridges


@pytest.mark.parametrize("seed", range(20))
def test_when_all_goes_well_all_that_is_to_be_said_is_said_once_in_its_order(seed: int) -> None:
    story = Story(Random(seed), fault_rate=0, actions=TALKING)
    story.caller_comes()
    story.settle()
    check_alive(story)
    (flow,) = [data for type_, about, data in story.calls.events if about.startswith("activeflow")][-1:]
    assert [action["error"] for action in flow["executed_actions"]] == [""] * (len(TALKING) - 1)
    said = [play.media for play in commands(story.calls.orders) if isinstance(play, Play)]
    assert said == [(f"sound:/speech/{text}",) for text in ("Welcome.", "Press one.", "Hold the line.", "Thank you.")]
    assert sum(story.asterisk.play_counts.values()) == 4
