"""Who may call the embedded Asterisk and what a phone may do there: SIPp against a real one."""

from __future__ import annotations

import io
import os
import re
import wave
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest

from offhook.switch.asterisk import configuration
from offhook.switch.asterisk.ari import AriClient
from offhook.switch.asterisk.configuration import Rtp
from offhook.switch.asterisk.embedded import EmbeddedAsterisk
from tests.ports import voice_ports
from tests.sipp.dialog import dialogs
from tests.sipp.ear import listening
from tests.sipp.phone import phone
from tests.sipp.switches import eventually, own_asterisk
from tests.telephony.conftest import running_node


async def test_a_phone_cannot_transfer_itself_past_every_rule(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk, running_node(tmp_path / "db", asterisk.endpoint) as node:
        with dialogs(asterisk.sip, 2) as (call, later):
            await call.invite()
            await node.saw("call_answered")
            async with AriClient(asterisk.endpoint) as ari:
                before = await channels_of(ari)
                call.send("REFER", f"Refer-To: <sip:+19005550199@{asterisk.sip}>\r\n")
                # A transfer that is done makes its channel at once; the call takes requests one after another.
                assert await call.ask("OPTIONS") == 200
                await later.invite()
                await node.saw("call_answered", 2)
                assert len(await channels_of(ari)) == len(before) + 1
            assert node.types().count("call_created") == 2
            assert "call_hungup" not in node.types()
            for one in (call, later):
                assert await one.ask("BYE") == 200


async def test_a_phone_cannot_take_the_place_of_a_call_past_every_rule(tmp_path: Path) -> None:
    async with own_asterisk(tmp_path / "a") as asterisk, running_node(tmp_path / "db", asterisk.endpoint) as node:
        with dialogs(asterisk.sip, 2) as (first, second):
            await first.invite()
            await node.saw("call_answered")
            assert await second.invite(first.replaces) == [180, 200]
            await node.saw("call_answered", 2)
            async with AriClient(asterisk.endpoint) as ari:
                channels = await channels_of(ari)
            assert len(channels) == len(await node.all_calls()) == node.types().count("call_created") == 2
            assert "call_hungup" not in node.types()
            for call in (first, second):
                assert await call.ask("BYE") == 200


async def test_a_phone_cannot_subscribe(tmp_path: Path) -> None:
    async with (
        own_asterisk(tmp_path / "a") as asterisk,
        phone("subscribes_in_vain", asterisk.sip, tmp_path / "sipp") as p,
    ):
        await p.done()


@pytest.mark.parametrize("name", ["local", "zz-local", "anybody"])
async def test_writing_a_name_into_from_lets_nobody_in(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "LOCAL_NETWORKS", ("127.0.0.1/32",))
    async with own_asterisk(tmp_path / "a") as asterisk, running_node(tmp_path / "db", asterisk.endpoint) as node:
        async with phone("refused_401", asterisk.sip, tmp_path / "s", caller=name, address="127.0.0.9") as p:
            await p.done()
        assert node.types() == []
        async with phone("caller_hangs_up", asterisk.sip, tmp_path / "meant", caller=name) as p:
            await p.done()
        await node.saw("call_created")


@pytest.mark.parametrize("name", ["local", "anybody"])
async def test_beyond_loopback_nobody_is_let_in_without_an_account_and_the_start_says_so(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        own_asterisk(tmp_path / "a", sip_host="0.0.0.0") as asterisk,
        running_node(tmp_path / "db", asterisk.endpoint) as node,
    ):
        said = capfd.readouterr()
        assert "asterisk.nobody_is_let_in" in said.out + said.err
        assert "--sip 127.0.0.1:5060" in said.out + said.err
        here = asterisk.sip.replace("0.0.0.0", "127.0.0.1")
        async with phone("refused_401", here, tmp_path / "sipp", caller=name) as p:
            await p.done()
        assert node.types() == []


async def test_a_phone_that_dies_without_a_bye_leaves_its_call(tmp_path: Path) -> None:
    async with (
        own_asterisk(tmp_path / "a", rtp=Rtp(*voice_ports(), timedelta(seconds=2))) as asterisk,
        running_node(tmp_path / "db", asterisk.endpoint) as node,
    ):
        async with listening() as ear, phone("falls_silent", asterisk.sip, tmp_path / "s", rtp_port=ear.port) as p:
            await node.saw("call_answered")
            await ear.says_until_heard()
            await p.done()
            assert "call_hungup" not in node.types()
        hungup = await node.saw("call_hungup")
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("remote", "normal")


async def test_a_call_on_hold_has_a_time_of_its_own(tmp_path: Path) -> None:
    rtp = Rtp(*voice_ports(), timedelta(seconds=3), timedelta(seconds=6))
    async with (
        own_asterisk(tmp_path / "a", rtp=rtp) as asterisk,
        running_node(tmp_path / "db", asterisk.endpoint) as node,
    ):
        async with phone("falls_silent_on_hold", asterisk.sip, tmp_path / "s") as p:
            await p.done()
        hungup = await node.saw("call_hungup")
        assert hungup["hangup_by"] == "remote"
        log = (tmp_path / "a" / "log" / "messages.log").read_text()
        (silence,) = re.findall("lack of audio RTP activity in ([0-9]+) seconds", log)
        assert int(silence) > 4


async def test_nothing_is_ended_when_the_time_is_off(tmp_path: Path) -> None:
    never = Rtp(*voice_ports(), timedelta(0), timedelta(0))
    async with own_asterisk(tmp_path / "a", rtp=never):
        written = (tmp_path / "a" / "etc" / "pjsip.conf").read_text()
        assert "rtp_timeout=0\n" in written
        assert "rtp_timeout_hold=0\n" in written


async def test_a_call_can_be_recorded(tmp_path: Path) -> None:
    async with (
        own_asterisk(tmp_path / "a") as asterisk,
        AriClient(asterisk.endpoint) as ari,
        ari.stream() as stream,
    ):
        async with phone("caller_hangs_up", asterisk.sip, tmp_path / "sipp", pause_ms=1_000) as p:
            caller = await next_caller(stream)
            await ari.post(f"channels/{caller}/answer")
            await ari.post(f"channels/{caller}/record", name="first", format="wav")
            await p.done()
        async for event in stream:
            if msgspec.json.decode(event)["type"] == "RecordingFinished":
                break
        with wave.open(io.BytesIO(await download(asterisk, "recordings/stored/first/file"))) as file:
            assert file.getframerate() == 8000


async def test_who_is_put_on_hold_hears_music(tmp_path: Path) -> None:
    async with (
        own_asterisk(tmp_path / "a") as asterisk,
        AriClient(asterisk.endpoint) as ari,
        listening() as ear,
        ari.stream() as stream,
        phone("caller_hangs_up", asterisk.sip, tmp_path / "s", pause_ms=2_000, rtp_port=ear.port) as p,
    ):
        caller = await next_caller(stream)
        await ari.post(f"channels/{caller}/answer")
        await ari.post(f"channels/{caller}/moh")
        await eventually(lambda: len(ear.heard) > 20, "something is heard")
        sounds = [file for file in map(os.path.realpath, files_of(asterisk)) if "/usr/share/asterisk/" in file]
        assert [Path(file).parent.name for file in sounds] == ["moh"]
        await p.done()


async def next_caller(stream: AsyncIterator[bytes]) -> str:
    """The channel of the next one who comes into our application."""
    async for message in stream:
        event = msgspec.json.decode(message)
        if event["type"] == "StasisStart":
            return str(event["channel"]["id"])
    raise AssertionError("the stream has ended")


async def channels_of(ari: AriClient) -> list[str]:
    """Every channel there is, whoever knows it."""
    return sorted(str(channel["id"]) for channel in await ari.get("channels"))


def files_of(asterisk: EmbeddedAsterisk) -> list[Path]:
    """What it has open."""
    return list(Path(f"/proc/{asterisk.pid}/fd").iterdir())


async def download(asterisk: EmbeddedAsterisk, path: str) -> bytes:
    """A file out of ARI."""
    access = {"Authorization": aiohttp.encode_basic_auth(asterisk.endpoint.user, asterisk.endpoint.password)}
    async with (
        aiohttp.ClientSession(headers=access) as session,
        session.get(f"{asterisk.endpoint.url}/{path}") as answer,
    ):
        assert answer.status == 200
        return await answer.read()
