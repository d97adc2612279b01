"""What a real Asterisk told of calls, told again: as it was, and with events lost, doubled, late and out of order."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.domain.switch.inputs import SwitchInput
from offhook.flows.reading import read_actions
from offhook.store.commit.committed import Committed
from offhook.switch.asterisk.inputs import input_of
from tests.core.test_stories import check_events
from tests.databases import sqlite_database
from tests.switch.test_inputs import lines
from tests.telephony.played import SWITCH, Telephony, telephony, until

ACTIONS = read_actions(
    [
        {"type": "answer"},
        {"type": "digits_receive", "option": {"duration": 60_000, "key": "#", "length": 20}},
        {"type": "sleep", "option": {"duration": 60_000}},
    ]
)
BEGUN = ["call_created", "call_ringing"]
UNANSWERED = [*BEGUN, "call_hungup"]
# Its first call_updated shows the action `digits_receive`.
ANSWERED = [*BEGUN, "call_answered", "call_updated", "call_hungup"]
STORIES = {
    "inbound_answer_record_caller_hangs_up": ANSWERED,
    "inbound_answer_play_app_hangs_up": ANSWERED,
    "inbound_caller_cancels_while_ringing": UNANSWERED,
    "inbound_rejected_busy": UNANSWERED,
    "inbound_dtmf": [*ANSWERED[:-1], "call_updated", "call_hungup"],
    "inbound_hold_and_talk_detect": [*ANSWERED[:-1], "call_updated", "call_updated", "call_hungup"],
    "app_disconnects_and_returns": ANSWERED,
}
"""The events of its call that each recording tells."""

Events = list[tuple[str, str, dict[str, Any]]]


def told_in(name: str) -> list[SwitchInput]:
    return [told for event in lines(name, "ari") if (told := input_of(event, SWITCH)) is not None]


def hear(node: Telephony) -> Events:
    """All events from now on: type, subject, data."""
    heard: Events = []

    def note(committed: Committed) -> None:
        for event in committed.events:
            heard.append((event.type, event.subject, msgspec.json.decode(event.payload)["data"]))

    node.store.subscribe(note)
    return heard


@pytest.mark.parametrize("name", STORIES)
async def test_a_recorded_stream_is_its_story(name: str, tmp_path: Path) -> None:
    async with telephony(sqlite_database(tmp_path / "db")) as node:
        node.actions = ACTIONS
        heard = hear(node)
        for told in told_in(name):
            node.switch.tell(told)
            # A phone and a person take their time.
            await asyncio.sleep(0.1)
        await node.heard_the_last()
        first = heard[0][1]
        assert [type_ for type_, subject, _ in heard if subject == first] == STORIES[name]
        assert node.calls.live_count == 0
        check_events(heard)
    updates = [data for type_, subject, data in heard if (type_, subject) == ("call_updated", first)]
    if name == "inbound_dtmf":
        assert [data["action"]["type"] for data in updates] == ["digits_receive", "sleep"]
    if name == "inbound_hold_and_talk_detect":
        assert [data["metadata"].get("remote_hold") for data in updates] == [None, True, None]


Fate = tuple[int, int]
"""How often an event comes, and by how many places late."""
FATES = st.one_of(st.just((1, 0)), st.tuples(st.sampled_from([0, 1, 1, 2]), st.integers(0, 6)))


def befallen(told: Iterable[SwitchInput], fates: Sequence[Fate]) -> list[SwitchInput]:
    """These inputs, after what befell them."""
    late = [
        (place + after, one)
        for place, (one, (count, after)) in enumerate(zip(told, fates, strict=True))
        for _ in range(count)
    ]
    return [one for _, one in sorted(late, key=lambda pair: pair[0])]


async def live_through(name: str, fates: Sequence[Fate], is_hurried: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with telephony(sqlite_database(Path(folder) / "db")) as node:
            node.actions = ACTIONS
            heard = hear(node)
            for told in befallen(told_in(name), fates):
                node.switch.tell(told)
                if not is_hurried:
                    await asyncio.sleep(0.02)
            # An event is lost with its stream. Then we connect again, and Asterisk has no channel any more.
            node.switch.lose()
            node.switch.connect()
            await node.heard_the_last()
            await until(lambda: is_over(heard), f"no call is stuck: {name} {fates}", 10)
            assert node.calls.live_count == 0
            check_events(heard)


def is_over(heard: Events) -> bool:
    """Whether whatever began has ended."""
    types = [type_ for type_, _, _ in heard]
    return all(
        types.count(end) == types.count(begin)
        for begin, end in (("call_created", "call_hungup"), ("activeflow_created", "activeflow_deleted"))
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(sorted(STORIES)), is_hurried=st.booleans())
def test_whatever_befalls_a_stream_no_call_is_stuck_and_nothing_follows_its_end(
    data: st.DataObject, name: str, is_hurried: bool
) -> None:
    count = len(told_in(name))
    fates = data.draw(st.lists(FATES, min_size=count, max_size=count))
    asyncio.run(live_through(name, fates, is_hurried))
