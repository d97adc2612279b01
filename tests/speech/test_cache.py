"""The folder of what was spoken before."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from offhook.domain.speech import Speak
from offhook.domain.step import Done, Outcome, Refused
from offhook.speech.cache import SpeechCache
from offhook.speech.carrier import NoSpeech, SpeechCarrier
from offhook.speech.port import Failed, Made, Wanted
from tests.sipp.switches import eventually

SIZE = 160_044
SECONDS = 10
IN_USE = 300 + SECONDS


class Played:
    """A cache whose time the test tells, which has room for three."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000_000.0
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.cache = SpeechCache(self.folder, 3 * SIZE + 10, lambda: self.now)
        self.cache.open()

    def make(self, *keys: str) -> list[Path | None]:
        return [self._make(key) for key in keys]

    def _make(self, key: str) -> Path | None:
        self.cache.unfinished(key).write_bytes(bytes(SIZE))
        return self.cache.keep(key)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path / "speech")


def test_the_folder_is_for_its_owner_only(played: Played) -> None:
    assert played.folder.stat().st_mode & 0o777 == 0o700


def test_what_was_made_is_found_also_after_a_restart_and_what_was_not_finished_is_gone(played: Played) -> None:
    played.make("a")
    played.cache.unfinished("b").write_bytes(b"RIFF")
    played.open()
    assert played.cache.find("a") == played.folder / "a.wav"
    assert played.cache.find("b") is None
    assert played.names() == ["a.wav"]
    assert played.cache.size_bytes == SIZE


def test_for_room_the_least_recently_used_goes(played: Played) -> None:
    for key in ("a", "b", "c"):
        played.make(key)
        played.now += 1
    played.cache.find("a")
    played.now += IN_USE + 1
    played.make("d")
    assert played.names() == ["a.wav", "c.wav", "d.wav"]
    assert played.cache.find("b") is None


def test_when_it_was_used_is_known_after_a_restart(played: Played) -> None:
    for key in ("a", "b", "c"):
        played.make(key)
        played.now += 1
        played.cache.find("a")
    played.open()
    played.now += IN_USE + 1
    played.make("d")
    assert "a.wav" in played.names()


def test_what_may_still_be_heard_never_goes_and_the_bound_holds_all_the_same(played: Played) -> None:
    played.make("a", "b", "c")
    played.now += IN_USE - 1
    assert played.make("d") == [None]
    assert played.names() == ["a.wav", "b.wav", "c.wav"]
    played.now += 2
    assert played.make("d") == [played.folder / "d.wav"]
    assert len(played.names()) == 3


def test_a_file_that_somebody_took_away_is_made_again(played: Played) -> None:
    (path,) = played.make("a")
    assert path is not None
    path.unlink()
    assert played.cache.find("a") is None
    assert played.cache.size_bytes == 0


# Who asks for it


class Tongue:
    """Speaks when it is let."""

    version = "1"

    def __init__(self) -> None:
        self.spoken: list[Wanted] = []
        self.is_let = asyncio.Event()
        self.answer: Failed | None = None

    async def speak(self, wanted: Wanted, path: Path) -> Made | Failed:
        self.spoken.append(wanted)
        path.write_bytes(b"part")
        await self.is_let.wait()
        return self.answer or Made(path)


class Asked:
    def __init__(self, cache: SpeechCache, **how: object) -> None:
        self.tongue = Tongue()
        self.carrier = SpeechCarrier(self.tongue, cache, **how)  # type: ignore[arg-type]

    async def say(self, *texts: str, language: str = "") -> list[Outcome]:
        commands = [Speak(id="x", text=text, language=language) for text in texts]
        return await asyncio.gather(*map(self.carrier.carry_out, commands))


async def test_what_several_want_at_once_is_spoken_once_and_then_known(played: Played) -> None:
    asked = Asked(played.cache)
    async with asyncio.TaskGroup() as group:
        saying = group.create_task(asked.say(*["hello"] * 10))
        await eventually(lambda: bool(asked.tongue.spoken), "it is spoken")
        asked.tongue.is_let.set()
    (first, *others) = saying.result()
    assert isinstance(first, Done)
    assert all(other == first for other in others)
    assert await asked.say("hello") == [first]
    assert len(asked.tongue.spoken) == 1
    (name,) = played.names()
    assert first.made == f"sound:{played.folder / name.removesuffix('.wav')}"


async def test_text_language_and_version_make_another_sound(played: Played) -> None:
    asked = Asked(played.cache)
    asked.tongue.is_let.set()
    await asked.say("hello", "hello you")
    await asked.say("hello", language="de")
    asked.tongue.version = "2"
    await asked.say("hello")
    assert len(played.names()) == len(asked.tongue.spoken) == 4


async def test_a_failure_says_why_and_is_not_kept(played: Played) -> None:
    asked = Asked(played.cache)
    asked.tongue.is_let.set()
    asked.tongue.answer = Failed("language_not_supported")
    assert await asked.say("hello") == [Refused("language_not_supported")]
    assert played.names() == []
    asked.tongue.answer = None
    assert isinstance((await asked.say("hello"))[0], Done)


async def test_whoever_waits_too_long_is_told_so_and_the_next_one_is_served(played: Played) -> None:
    asked = Asked(played.cache, patience=timedelta(seconds=0.05))
    assert await asked.say("hello") == [Refused("speech_overloaded")]
    assert played.names() == []
    asked.tongue.is_let.set()
    assert isinstance((await asked.say("hello"))[0], Done)


async def test_without_room_it_is_an_error(tmp_path: Path) -> None:
    small = SpeechCache(tmp_path / "speech", 3)
    small.open()
    asked = Asked(small)
    asked.tongue.is_let.set()
    assert await asked.say("hello") == [Refused("speech_overloaded")]
    assert list((tmp_path / "speech").iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_an_error_and_no_crash(played: Played) -> None:
    asked = Asked(played.cache)
    asked.tongue.is_let.set()
    played.folder.rmdir()
    assert await asked.say("hello") == [Refused("speech_failed")]


async def test_an_asterisk_that_cannot_read_our_files_says_so() -> None:
    outcome = await NoSpeech().carry_out(Speak(id="x", text="hello"))
    assert isinstance(outcome, Refused)
    assert "embedded Asterisk" in outcome.reason
