"""Carries `Speak` out: finds the sound of a text, or has it made."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import msgspec
import structlog

from offhook.domain.speech import Speak
from offhook.domain.step import Done, Outcome, Refused, Unknown
from offhook.speech.cache import SpeechCache
from offhook.speech.port import BROKEN, OVERLOADED, Failed, Made, Speaker, Wanted

PATIENCE = timedelta(seconds=25)
"""How long somebody on the phone waits for the first word, at most."""

log = structlog.get_logger()


class SpeechCarrier:
    """A text that is wanted several times at once is spoken once."""

    def __init__(self, speaker: Speaker, cache: SpeechCache, *, patience: timedelta = PATIENCE) -> None:
        self._speaker = speaker
        self._cache = cache
        self._patience_s = patience.total_seconds()
        self._under_way: dict[str, asyncio.Event] = {}

    async def carry_out(self, command: Speak) -> Outcome:
        """The sound as `Play` takes it, or the reason why there is none."""
        wanted = Wanted(command.text, command.language, command.voice)
        try:
            async with asyncio.timeout(self._patience_s):
                spoken = await self._spoken(wanted)
        except TimeoutError:
            spoken = Failed(OVERLOADED)
        except OSError as error:
            log.warning("speech.not_kept", error=error.strerror)
            spoken = Failed(BROKEN)
        if isinstance(spoken, Failed):
            log.info("speech.failed", reason=spoken.reason, language=command.language[:32])
            return Refused(spoken.reason)
        return Done(f"sound:{spoken.path.with_suffix('')}")

    async def look(self, command: Speak) -> Outcome:
        """It is simply done again."""
        del command
        return Unknown()

    async def _spoken(self, wanted: Wanted) -> Made | Failed:
        key = self._key(wanted)
        while (path := self._cache.find(key)) is None:
            under_way = self._under_way.get(key)
            if under_way is None:
                return await self._made(key, wanted)
            await under_way.wait()
        return Made(path)

    async def _made(self, key: str, wanted: Wanted) -> Made | Failed:
        self._under_way[key] = over = asyncio.Event()
        try:
            made = await self._speaker.speak(wanted, self._cache.unfinished(key))
            if isinstance(made, Failed):
                return made
            path = self._cache.keep(key)
            return Failed(OVERLOADED) if path is None else Made(path)
        finally:
            self._cache.discard(key)
            del self._under_way[key]
            over.set()

    def _key(self, wanted: Wanted) -> str:
        return hashlib.sha256(msgspec.json.encode((self._speaker.version, wanted))).hexdigest()


class NoSpeech:
    """For a node whose switch cannot read our files."""

    async def carry_out(self, command: Speak) -> Outcome:
        """It cannot be done here."""
        del command
        return Refused("talk needs the embedded Asterisk: yours cannot read the sounds that are made here.")

    async def look(self, command: Speak) -> Outcome:
        """Nothing was done."""
        return await self.carry_out(command)
