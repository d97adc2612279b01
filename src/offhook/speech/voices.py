"""Which languages espeak-ng has voices for, as its data say, and which of them is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

AMERICAN = "en-us"

_LANGUAGE = re.compile(rb"^language\s+([A-Za-z0-9-]+)(?:\s+(\d+))?", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9-]{1,64}")
_VARIANT = re.compile(r"[fm][1-8]")
_USUAL_PRIORITY = 5


def languages_in(data: Path) -> Mapping[str, str]:
    """Every language, as BCP 47 in lower case, and the name of its best voice."""
    found: dict[str, tuple[int, str]] = {}
    for file in sorted((data / "lang").rglob("*")):
        if file.is_file():
            for code, priority in _LANGUAGE.findall(file.read_bytes()):
                offer = (int(priority or _USUAL_PRIORITY), file.name)
                language = code.decode().lower()
                found[language] = min(offer, found.get(language, offer))
    return {language: name for language, (_, name) in found.items()}


def matching(language: str, languages: Mapping[str, str]) -> str:
    """The one of `languages` that is meant: itself, or without what only narrows it down; "" if there is none.

    None at all is American English.
    """
    wanted = (language.strip() or AMERICAN).lower().replace("_", "-")
    if not _NAME.fullmatch(wanted):
        return ""
    while wanted and wanted not in languages:
        wanted = wanted.rpartition("-")[0]
    return wanted


def variant_of(voice: str, data: Path) -> str:
    """What is put behind a language's name for this voice; "" for the usual one."""
    return f"+{voice}" if _VARIANT.fullmatch(voice) and (data / "voices" / "!v" / voice).is_file() else ""
