"""The real espeak-ng, in its processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import wave
from array import array
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from offhook.node.unpacked import unpacked_folder
from offhook.speech.espeak import MAX_PROCESSES, Espeak
from offhook.speech.installation import SPEECH, data_folder, is_installed
from offhook.speech.port import REASONS, Failed, Made, Wanted
from tests.sipp.switches import eventually

ROOT = unpacked_folder(SPEECH)
HELLO = Wanted("Hello, this is a test of the telephone.")
LONG = Wanted("Hello you people over there, " * 689)


@contextlib.asynccontextmanager
async def speaking(root: Path = ROOT, **how: object) -> AsyncIterator[Espeak]:
    espeak = Espeak(root, **how)  # type: ignore[arg-type]
    try:
        yield espeak
    finally:
        await espeak.close()


async def spoken(wanted: Wanted, folder: Path) -> Made | Failed:
    async with speaking() as espeak:
        return await espeak.speak(wanted, folder / "a.wav")


def samples(path: Path) -> array[int]:
    """What the file holds, which is as Asterisk plays it."""
    with wave.open(str(path)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8_000, 1, 2)
        assert path.stat().st_size == 44 + 2 * sound.getnframes()
        return array("h", sound.readframes(sound.getnframes()))


def seconds(path: Path) -> float:
    return len(samples(path)) / 8_000


async def test_a_sentence_becomes_a_file_as_asterisk_plays_it(tmp_path: Path) -> None:
    assert await spoken(HELLO, tmp_path) == Made(tmp_path / "a.wav")
    sound = samples(tmp_path / "a.wav")
    assert 1.5 < len(sound) / 8_000 < 4
    assert 5_000 < max(sound) < 32_767
    loud = [number for number, sample in enumerate(sound) if abs(sample) > 500]
    assert loud[0] < 8_000
    assert len(sound) - loud[-1] < 8_000
    assert (tmp_path / "a.wav").stat().st_mode & 0o777 == 0o600


async def test_it_speaks_with_its_own_data_and_not_with_the_systems(tmp_path: Path) -> None:
    """A system that has data of its own would hide that ours are not taken."""
    other = tmp_path / "root"
    shutil.copytree(ROOT, other, symlinks=True)
    data = data_folder(other)
    assert data is not None
    (data / "phontab").write_bytes(b"")
    async with speaking(other) as espeak:
        assert await espeak.speak(HELLO, tmp_path / "a.wav") == Failed("speech_failed")
    (data / "phontab").unlink()
    assert not is_installed(other)
    async with speaking(other) as espeak:
        assert await espeak.speak(HELLO, tmp_path / "a.wav") == Failed("speech_not_installed")


@pytest.mark.parametrize("language", ["", "en", "en-US", "en_GB", "de-DE", "ko-KR", "pt-BR", "zh-CN", "cmn-Hans-CN"])
async def test_a_language_is_found_by_its_name(tmp_path: Path, language: str) -> None:
    assert isinstance(await spoken(Wanted("1, 2, 3", language), tmp_path), Made)
    assert seconds(tmp_path / "a.wav") > 0.5


async def test_another_language_and_another_voice_sound_different(tmp_path: Path) -> None:
    async with speaking() as espeak:
        for name, language, voice in (("a", "", ""), ("b", "de", ""), ("c", "", "f3"), ("d", "", "nobody")):
            await espeak.speak(Wanted("one two three", language, voice), tmp_path / f"{name}.wav")
    a, b, c, d = (samples(tmp_path / f"{name}.wav") for name in "abcd")
    assert a != b
    assert a != c
    assert a == d


@pytest.mark.parametrize("language", ["xx", "tlh-QQ", "../../../etc/passwd", "en-us --stdin", "--", "\x00"])
async def test_a_language_that_no_voice_has_is_an_error_and_not_silence(tmp_path: Path, language: str) -> None:
    assert await spoken(Wanted("hello", language), tmp_path) == Failed("language_not_supported")


@pytest.mark.parametrize(
    "text",
    [
        "--help",
        "-f /etc/passwd",
        "-w /tmp/written.wav hello",
        "a\x00b",
        "\x01100Sfast",
        "[[" * 1_000 + "a",
        "<speak>" * 2_800 + "a",
        "<speak><audio src='/etc/passwd'>a</audio></speak>",
        '{"text":"a"}\n{"text":"b"}',
    ],
)
async def test_a_hostile_text_is_text(tmp_path: Path, text: str) -> None:
    async with speaking() as espeak:
        assert await espeak.speak(Wanted(text), tmp_path / "a.wav") == Made(tmp_path / "a.wav")
        assert 0.1 < seconds(tmp_path / "a.wav") < 200
        assert await espeak.speak(HELLO, tmp_path / "b.wav") == Made(tmp_path / "b.wav")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


async def test_an_hour_of_silence_is_cut(tmp_path: Path) -> None:
    assert isinstance(await spoken(Wanted('<speak>a<break time="1h"/>b</speak>'), tmp_path), Made)
    assert 10 < seconds(tmp_path / "a.wav") < 12


async def test_many_silences_are_too_long(tmp_path: Path) -> None:
    text = "<speak>" + 'a<break time="9s"/>' * 900 + "</speak>"
    assert await spoken(Wanted(text), tmp_path) == Failed("speech_too_long")


@pytest.mark.parametrize("text", ["...", "\x00\x01", "<speak><break time='1s'/></speak>"])
async def test_nothing_to_say_is_an_error_and_not_silence(tmp_path: Path, text: str) -> None:
    assert await spoken(Wanted(text), tmp_path) == Failed("nothing_to_say")


async def test_the_longest_text_is_spoken_to_its_end(tmp_path: Path) -> None:
    assert len(LONG.text) == 19_981
    assert isinstance(await spoken(LONG, tmp_path), Made)
    assert 900 < seconds(tmp_path / "a.wav") < 1_200


async def test_one_that_was_killed_while_it_was_free_is_replaced(tmp_path: Path) -> None:
    async with speaking() as espeak:
        await espeak.speak(HELLO, tmp_path / "a.wav")
        (first,) = espeak.process_ids
        os.kill(first, signal.SIGKILL)
        assert isinstance(await espeak.speak(HELLO, tmp_path / "b.wav"), Made)
        assert espeak.process_ids != [first]


async def test_whose_process_is_killed_is_spoken_by_another_one(tmp_path: Path) -> None:
    async with speaking() as espeak:
        async with asyncio.TaskGroup() as group:
            speech = group.create_task(espeak.speak(LONG, tmp_path / "a.wav"))
            await eventually((tmp_path / "a.wav").exists, "it is being spoken")
            os.kill(espeak.process_ids[0], signal.SIGKILL)
        assert isinstance(speech.result(), Made)
        assert seconds(tmp_path / "a.wav") > 900


async def test_an_engine_that_is_killed_is_an_error_and_not_half_a_text(tmp_path: Path) -> None:
    async with speaking() as espeak:
        async with asyncio.TaskGroup() as group:
            speech = group.create_task(espeak.speak(LONG, tmp_path / "a.wav"))
            await eventually(lambda: bool(_children(espeak)), "it is being spoken")
            os.kill(_children(espeak)[0], signal.SIGKILL)
        assert speech.result() == Failed("speech_failed")
        assert isinstance(await espeak.speak(HELLO, tmp_path / "b.wav"), Made)


async def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    async with speaking(time_limit=timedelta(seconds=1.5)) as espeak:
        await espeak.speak(HELLO, tmp_path / "a.wav")
        (process,) = espeak.process_ids
        os.kill(process, signal.SIGSTOP)
        assert await espeak.speak(HELLO, tmp_path / "b.wav") == Failed("speech_failed")
        assert espeak.process_ids == []
        assert not Path(f"/proc/{process}").exists()


async def test_two_speak_at_once_and_the_others_wait(tmp_path: Path) -> None:
    async with speaking() as espeak, asyncio.TaskGroup() as group:
        speeches = [group.create_task(espeak.speak(HELLO, tmp_path / f"{number}.wav")) for number in range(6)]
        seen = 0
        while not all(speech.done() for speech in speeches):
            seen = max(seen, len(espeak.process_ids))
            await asyncio.sleep(0.005)
        assert seen == MAX_PROCESSES


async def test_whoever_does_not_wait_any_more_leaves_nothing_behind(tmp_path: Path) -> None:
    async with speaking() as espeak:
        speech = asyncio.create_task(espeak.speak(LONG, tmp_path / "a.wav"))
        await eventually((tmp_path / "a.wav").exists, "it is being spoken")
        speech.cancel()
        await asyncio.wait((speech,))
        assert espeak.process_ids == []
        assert isinstance(await espeak.speak(HELLO, tmp_path / "b.wav"), Made)


async def test_a_process_knows_no_secret_and_ends_with_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFHOOK_DATABASE_URL", "postgresql://u:secret@h/d")
    async with speaking() as espeak:
        await espeak.speak(HELLO, tmp_path / "a.wav")
        (one,) = espeak._all
        environment = Path(f"/proc/{one.process.pid}/environ").read_bytes()
        assert b"secret" not in environment
        limits = Path(f"/proc/{one.process.pid}/limits").read_text()
        assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max address space")] == [
            "536870912"
        ]
        assert one.process.stdin is not None
        one.process.stdin.close()
        async with asyncio.timeout(20):
            assert await one.process.wait() == 0


def test_the_server_itself_knows_nothing_of_sound() -> None:
    lists = "import sys, offhook.app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    known = subprocess.run([sys.executable, "-c", lists], capture_output=True, text=True, check=True).stdout.split()
    assert "msgspec" in known
    assert not {"numpy", "soxr"} & set(known)


def test_the_operators_page_has_every_reason() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/operate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page[page.index("## What callers are told") :], re.MULTILINE)
    assert sorted(rows[1 : len(REASONS) + 1]) == sorted(REASONS)


async def test_one_is_replaced_after_many_texts(tmp_path: Path) -> None:
    async with speaking(max_texts=2) as espeak:
        seen = set()
        for number in range(4):
            await espeak.speak(HELLO, tmp_path / f"{number}.wav")
            seen.update(espeak.process_ids)
        assert len(seen) == 2
        assert espeak.process_ids == []


def _children(espeak: Espeak) -> list[int]:
    return [
        int(child)
        for process in espeak.process_ids
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]
