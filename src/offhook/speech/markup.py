"""What of a text is really spoken: SSML that a stranger wrote becomes SSML that espeak-ng is safely given. Pure.

Taken are `break`, `p`, `s`, `say-as`, `sub`, `prosody` (its rate) and `voice` or `lang` (their language); of any other
element the text is read. What is no well-formed XML is read as plain text without its tags. Four or more digits in a
row are read one by one, as they are codes on a telephone, unless `say-as` says otherwise.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from xml.parsers import expat

LONGEST_BREAK_S = 10.0
_SLOWEST, _FASTEST = 50, 200

_TAG = re.compile(r"<[^<>]*>")
_DIGITS = re.compile(r"\d{4,}")
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PERCENT = re.compile(r"(\d{1,9})(?:\.\d{0,9})?%")
_STRENGTHS = ("none", "x-weak", "weak", "medium", "strong", "x-strong")
_RATES = ("x-slow", "slow", "medium", "fast", "x-fast", "default")
_LETTER_BY_LETTER = ("characters", "digits", "spell-out", "telephone", "verbatim")

LanguageOf = Callable[[str], str]
"""The engine's name of a language, "" if it has no voice for it."""


class _NotReadError(Exception):
    """It is not what we take for SSML."""


def spoken(text: str, language_of: LanguageOf) -> str:
    """The SSML to be spoken; "" if nothing of the text can be."""
    body = _of_markup(text, language_of) if text.lstrip().startswith("<") else _of_plain(text)
    return f"<speak>{body}</speak>" if any(map(str.isalnum, _TAG.sub("", body))) else ""


def _of_markup(text: str, language_of: LanguageOf) -> str:
    reader = _Reader(language_of)
    try:
        reader.read(text)
    except (expat.ExpatError, _NotReadError):
        return _of_plain(html.unescape(_TAG.sub(" ", text)))
    return "".join(reader.parts)


def _of_plain(text: str) -> str:
    return _escaped(_digit_by_digit(_sayable(text)))


class _Reader:
    """Reads one document; `parts` is what was written of it."""

    def __init__(self, language_of: LanguageOf) -> None:
        self.parts: list[str] = []
        self._language_of = language_of
        self._ends: list[str] = []
        # How the text within each open `say-as` is to be said, and how deep we are in what `sub` replaces.
        self._ways: list[tuple[int, str]] = []
        self._replaced_at = 0

    def read(self, text: str) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._say
        parser.Parse(_sayable(text.strip()), True)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = name.rpartition(":")[2]
        begin, end = ("", "") if self._replaced_at else self._element(name, attributes)
        self.parts.append(begin)
        self._ends.append(end)
        if name == "say-as":
            self._ways.append((len(self._ends), attributes.get("interpret-as", "")))
        if name == "sub" and "alias" in attributes and not self._replaced_at:
            self._say(attributes["alias"])
            self._replaced_at = len(self._ends)

    def _end(self, name: str) -> None:
        del name
        depth = len(self._ends)
        if self._ways and self._ways[-1][0] == depth:
            self._ways.pop()
        if self._replaced_at == depth:
            self._replaced_at = 0
        self.parts.append(self._ends.pop())

    def _say(self, text: str) -> None:
        if self._replaced_at:
            return
        way = self._ways[-1][1] if self._ways else None
        if way is None:
            text = _digit_by_digit(text)
        elif way in _LETTER_BY_LETTER:
            text = " ".join(text)
        self.parts.append(_escaped(text))

    def _element(self, name: str, attributes: Mapping[str, str]) -> tuple[str, str]:
        match name:
            case "break":
                return _break(attributes), ""
            case "p" | "s":
                return f"<{name}>", f"</{name}>"
            case "prosody" if rate := _rate(attributes.get("rate", "")):
                return f'<prosody rate="{rate}">', "</prosody>"
            case "voice" | "lang" if language := self._language_of(_language(attributes)):
                return f'<voice xml:lang="{language}">', "</voice>"
            case _:
                return "", ""


def _refuse(*of_doctype: object) -> None:
    """A document type can define entities without an end."""
    raise _NotReadError


def _break(attributes: Mapping[str, str]) -> str:
    found = _SPAN.fullmatch(attributes.get("time", "").strip().lower())
    if found:
        seconds = min(float(found[1]) * _SECONDS[found[2]], LONGEST_BREAK_S)
        return f'<break time="{round(seconds * 1000)}ms"/>'
    strength = attributes.get("strength", "")
    return f'<break strength="{strength}"/>' if strength in _STRENGTHS else "<break/>"


def _rate(text: str) -> str:
    found = _PERCENT.fullmatch(text.strip())
    if found:
        return f"{min(max(int(found[1]), _SLOWEST), _FASTEST)}%"
    return text if text in _RATES else ""


def _language(attributes: Mapping[str, str]) -> str:
    return attributes.get("xml:lang") or attributes.get("language") or ""


def _digit_by_digit(text: str) -> str:
    return _DIGITS.sub(lambda found: " ".join(found[0]), text)


def _sayable(text: str) -> str:
    """Without what is no character to be said, and may be a command to the engine: control characters, halves of
    pairs, private ones."""
    return "".join(each if unicodedata.category(each) not in ("Cc", "Cs", "Co", "Cn") else " " for each in text)


def _escaped(text: str) -> str:
    # Two brackets would begin phonemes.
    return html.escape(text.replace("[", " ").replace("]", " "), quote=False)
