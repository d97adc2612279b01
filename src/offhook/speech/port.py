"""The port to whatever speaks: a text in, a WAV file of 8 kHz, mono, 16 bit out, or the reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec


class Wanted(msgspec.Struct, frozen=True):
    """What is to be spoken. A `text` that begins with `<` is SSML; `language` is BCP 47, "" is American English;
    `voice` is one of the engine's, and its usual one if it has none of that name."""

    text: str
    language: str = ""
    voice: str = ""


class Made(msgspec.Struct, frozen=True):
    """It was spoken."""

    path: Path


class Failed(msgspec.Struct, frozen=True):
    """It was not, and would not be if it were tried again now. `reason` is one of `REASONS`."""

    reason: str


NOT_INSTALLED = "speech_not_installed"
LANGUAGE = "language_not_supported"
NOTHING = "nothing_to_say"
TOO_LONG = "speech_too_long"
OVERLOADED = "speech_overloaded"
BROKEN = "speech_failed"

REASONS = (NOT_INSTALLED, LANGUAGE, NOTHING, TOO_LONG, OVERLOADED, BROKEN)
"""Why something was not spoken: no engine is there; it has no such voice; no sound came of the text, or too much; there
is too much to do, or no room left for files; the engine broke off."""


class Speaker(Protocol):
    """What speaks."""

    @property
    def version(self) -> str:
        """Changes whenever the same text would sound different."""
        ...

    async def speak(self, wanted: Wanted, path: Path) -> Made | Failed:
        """Write the sound to `path`, which has to be new. A `Failed` may leave a part of it behind."""
        ...
