"""Somebody calls a real Asterisk, and hears the real espeak-ng."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from offhook.domain.speech import Speak
from offhook.flows.reading import read_actions
from offhook.node.unpacked import unpacked_folder
from offhook.speech.cache import SpeechCache
from offhook.speech.carrier import SpeechCarrier
from offhook.speech.espeak import Espeak
from offhook.speech.installation import SPEECH
from tests.sipp.dialog import Dialog, dialogs
from tests.sipp.ear import Ear, listening
from tests.sipp.switches import SharedAsterisk, eventually
from tests.telephony.conftest import Node, running_node

TEXT = "Welcome to the telephone. This is a sentence that takes some seconds to be spoken, and here is another one."


def talk(text: str, **option: Any) -> dict[str, Any]:
    return {"type": "talk", "option": {"text": text, **option}}


@contextlib.asynccontextmanager
async def speaking_node(folder: Path, asterisk: SharedAsterisk, *actions: dict[str, Any]) -> AsyncIterator[Node]:
    """A node whose callers run these actions; what it says is kept in `folder`/speech."""
    espeak = Espeak(unpacked_folder(SPEECH))
    cache = SpeechCache(folder / "speech", 2**26)
    cache.open()
    async with running_node(folder / "db", asterisk.endpoint, read_actions(list(actions))) as node:
        node.lanes.register(Speak, SpeechCarrier(espeak, cache))
        try:
            yield node
        finally:
            await espeak.close()


@contextlib.asynccontextmanager
async def calling(asterisk: SharedAsterisk) -> AsyncIterator[tuple[Dialog, Ear]]:
    """A phone that was answered, and its ear."""
    with dialogs(asterisk.sip, 1) as (dialog,):
        async with listening() as ear:
            assert (await dialog.invite(rtp_port=ear.port))[-1] == 200
            yield dialog, ear


def errors(data: dict[str, Any]) -> list[str]:
    return [action["error"] for action in data["executed_actions"]]


def loud_s(file: Path) -> float:
    """From the first to the last that is no silence in a sound."""
    with wave.open(str(file)) as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
    loud = [number for number, sample in enumerate(samples) if abs(sample) > 924]
    return (loud[-1] - loud[0]) / 8_000


@pytest.mark.alone
async def test_a_caller_hears_what_is_to_be_said_as_long_as_it_takes(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with speaking_node(tmp_path, asterisk, talk(TEXT), {"type": "hangup"}) as node, calling(asterisk) as (_, ear):
        await node.saw("call_hungup")
        (file,) = (tmp_path / "speech").iterdir()
        heard_s = ear.voice_at[-1] - ear.voice_at[0]
        assert 5 < loud_s(file) == pytest.approx(heard_s, abs=0.3)
        assert len(ear.voice_at) * 0.02 > heard_s / 2
        assert node.types() == ["call_created", "call_ringing", "call_answered", "call_updated", "call_updated",
                                "call_hungup"]  # fmt: skip
        assert errors(node.flow_events[-1][1]) == ["", ""]


@pytest.mark.alone
async def test_a_digit_ends_what_is_said_within_300_ms_and_counts(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    asks = {"type": "digits_receive", "option": {"length": 2, "duration": 60_000}}
    flow = (talk(TEXT, digits_handle="next"), asks, {"type": "hangup"})
    async with speaking_node(tmp_path, asterisk, *flow) as node, calling(asterisk) as (dialog, ear):
        await eventually(lambda: len(ear.voice_at) > 20, "it is heard")
        typed_at = asyncio.get_running_loop().time()
        assert await dialog.type("4") == 200
        await node.saw("call_updated")
        await asyncio.sleep(1)  # which it would otherwise go on for
        assert await dialog.type("2") == 200
        await node.saw("call_hungup")
        assert ear.voice_at[-1] - typed_at < 0.3
        assert [data["action"]["type"] for _, data in node.events][-4:] == [
            "digits_receive",
            "hangup",
            "hangup",
            "hangup",
        ]


async def test_the_flow_goes_on_while_it_is_said(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    asks = {"type": "digits_receive", "option": {"length": 1, "duration": 20_000}}
    flow = (talk(TEXT, **{"async": True}), asks, {"type": "hangup"})
    async with speaking_node(tmp_path, asterisk, *flow) as node, calling(asterisk) as (dialog, ear):
        await node.saw("call_updated")
        assert node.last("call_updated")["action"]["type"] == "digits_receive"
        await eventually(lambda: len(ear.voice_at) > 50, "it is heard")
        assert node.types()[-1] == "call_updated"
        assert await dialog.type("4") == 200
        await node.saw("call_hungup")


async def test_a_language_that_nobody_speaks_is_said_in_the_event(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    flow = (talk("Qapla'!", language="tlh"), talk("Hello.", language="en-GB"), {"type": "hangup"})
    async with speaking_node(tmp_path, asterisk, *flow) as node, calling(asterisk) as (_, ear):
        await node.saw("call_hungup")
        assert errors(node.flow_events[-1][1]) == ["language_not_supported", "", ""]
        assert ear.voice_at
