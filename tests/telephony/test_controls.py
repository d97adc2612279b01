"""What is turned on and off on real phones: what they hear, and what is told of it."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.domain.errors import ConflictError, NotFoundError
from offhook.domain.ids import new_uuid
from offhook.domain.inputs.call import Control, MuteAsked, SoundAsked
from offhook.flows.reading import read_actions
from offhook.telephony.settings import CallSettings
from tests.sipp.ear import listening
from tests.sipp.phone import phone
from tests.sipp.switches import SharedAsterisk, eventually
from tests.telephony.conftest import PATIENT, Node, running_node
from tests.telephony.test_real_calls import ANSWERED

TALKING = read_actions([{"type": "answer"}, {"type": "block"}])


def shown(node: Node) -> list[tuple[dict[str, Any], str]]:
    """What was shown to be on, each time that it was something else."""
    found = [(data["metadata"], data["mute_direction"]) for _, data in node.events]
    return [after for before, after in itertools.pairwise(found) if before != after]


@pytest.mark.parametrize(
    ("on", "off", "metadata", "muted"),
    [
        (SoundAsked("hold", True), SoundAsked("hold", False), {"hold": True}, ""),
        *((MuteAsked(way, True), MuteAsked(way, False), {}, way) for way in ("in", "out", "both")),
    ],
    ids=["hold", "in", "out", "both"],
)
async def test_who_is_muted_or_on_hold_does_not_hear_itself_until_it_is_over(
    asterisk: SharedAsterisk, tmp_path: Path, on: Control, off: Control, metadata: dict[str, bool], muted: str
) -> None:
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        call_id = (await node.saw("call_updated", 2))["id"]
        await ear.says_until_heard()
        for _ in range(2):
            await node.calls.control(node.customer_id, call_id, on)
        said = await ear.says_in_vain()
        for _ in range(2):
            await node.calls.control(node.customer_id, call_id, off)
        await ear.says_until_heard()
        assert said not in ear.heard
        await node.calls.hang_up(node.customer_id, call_id)
        await p.done()
        await node.saw("call_hungup")
        assert shown(node) == [(metadata, muted), ({}, "")]
        assert node.types() == [*ANSWERED, *["call_updated"] * 3, "call_hungup"]


async def test_hold_and_music_are_heard_and_silence_in_their_place(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint, TALKING) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        call_id = (await node.saw("call_updated"))["id"]

        async def turn(*sounds: SoundAsked) -> None:
            for sound in sounds:
                await node.calls.control(node.customer_id, call_id, sound)

        await turn(SoundAsked("hold", True))
        await eventually(lambda: ear.hears_something, "there is music on hold")
        await turn(SoundAsked("silence", True))
        await eventually(lambda: ear.hears_silence, "there is none")
        await turn(SoundAsked("silence", False))
        await eventually(lambda: ear.hears_something, "the music is back")
        await turn(SoundAsked("moh", True), SoundAsked("hold", False), SoundAsked("silence", True))
        await eventually(lambda: ear.hears_silence, "there is none again")
        await turn(SoundAsked("silence", False))
        await eventually(lambda: ear.hears_something, "the other music is left")
        await node.calls.hang_up(node.customer_id, call_id)
        await p.done()


async def test_music_goes_on_after_a_prompt(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    prompted = read_actions([
        {"type": "answer"},
        {"type": "sleep", "option": {"duration": 1_000}},
        {"type": "play", "option": {"stream_urls": ["sound:hello-world"]}},
        {"type": "block"},
    ])  # fmt: skip
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint, prompted) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        call_id = (await node.saw("call_answered"))["id"]
        await node.calls.control(node.customer_id, call_id, SoundAsked("moh", True))
        await eventually(lambda: ear.hears_something, "there is music")
        prompt = await node.saw("call_updated", 3)
        assert (prompt["action"]["type"], prompt["metadata"]) == ("play", {"moh": True})
        await node.saw("call_updated", 4)
        before = len(ear.voice_at)
        await eventually(lambda: len(ear.voice_at) > before + 50, "more is heard")
        await node.calls.hang_up(node.customer_id, call_id)
        await p.done()


async def test_what_is_not_in_progress_is_refused(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint, PATIENT) as node:
        async with phone("refused_603", asterisk.sip, tmp_path / "sipp") as p:
            ringing = await node.saw("call_ringing")
            with pytest.raises(ConflictError):
                await node.calls.control(node.customer_id, ringing["id"], SoundAsked("hold", True))
            await node.calls.hang_up(node.customer_id, ringing["id"])
            await p.done()
        await node.saw("call_hungup")
        with pytest.raises(ConflictError):
            await node.calls.control(node.customer_id, ringing["id"], MuteAsked("both", False))
        with pytest.raises(NotFoundError):
            await node.calls.control(node.customer_id, new_uuid(), MuteAsked("both", True))


async def test_a_phone_that_puts_us_on_hold_is_seen(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with (
        running_node(tmp_path / "db", asterisk.endpoint, TALKING) as node,
        phone("holds_for_a_while", asterisk.sip, tmp_path / "sipp") as p,
    ):
        call_id = (await node.saw("call_answered"))["id"]
        await eventually(lambda: shown(node) == [({"remote_hold": True}, ""), ({}, "")], "both are told")
        await node.calls.hang_up(node.customer_id, call_id)
        await p.done()


# In flows


async def test_a_beep_is_heard(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint, read_actions([{"type": "beep"}])) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        await p.done()
        await node.saw("call_hungup")
        assert node.types() == ["call_created", "call_ringing", "call_answered", "call_updated", "call_hungup"]
        assert ear.voice_at


async def test_who_is_muted_by_its_flow_hears_digits_and_no_prompt(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    muted = read_actions([
        {"type": "mute"},
        {"type": "play", "option": {"stream_urls": ["sound:hello-world"]}},
        {"type": "digits_send", "option": {"digits": "15#D"}},
    ])  # fmt: skip
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint, muted) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        await p.done()
        await node.saw("call_hungup")
        assert (ear.digits, ear.voice_at) == ("15#D", [])
        assert {data["mute_direction"] for type_, data in node.events if type_ == "call_ringing"} == {"both"}


@pytest.mark.parametrize(("duration", "interval"), [(100, 0), (200, 300)])
async def test_digits_are_all_out_when_the_flow_goes_on(
    asterisk: SharedAsterisk, tmp_path: Path, duration: int, interval: int
) -> None:
    option = {"digits": "0123456789", "duration": duration, "interval": interval}
    sending = read_actions([{"type": "answer"}, {"type": "digits_send", "option": option}])
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint, sending) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        await p.done()
        await node.saw("call_hungup")
        assert ear.digits == "0123456789"
        assert node.types()[2:] == ["call_answered", "call_updated", "call_updated", "call_hungup"]
        began, ended = [datetime.fromisoformat(data["tm_update"]) for _, data in node.events[3:5]]
        assert ended - began >= timedelta(milliseconds=10 * (duration + interval))


# The longest call


@pytest.mark.parametrize("scenario", ["waits_for_bye", "refused_603"])
async def test_a_call_that_lasts_too_long_is_over(asterisk: SharedAsterisk, tmp_path: Path, scenario: str) -> None:
    actions = TALKING if scenario == "waits_for_bye" else PATIENT
    short = CallSettings(max_call_time=timedelta(seconds=1))
    async with running_node(tmp_path / "db", asterisk.endpoint, actions, settings=short) as node:
        async with phone(scenario, asterisk.sip, tmp_path / "sipp") as p:
            await p.done()
        hungup = await node.saw("call_hungup")
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("local", "timeout")
        assert not {"terminating", "canceling"} & {data["status"] for _, data in node.events}
        lasted = datetime.fromisoformat(hungup["tm_hangup"]) - datetime.fromisoformat(hungup["tm_create"])
        assert lasted >= timedelta(seconds=1)
