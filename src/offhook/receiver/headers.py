"""Reading the headers of a webhook, in whatever form a web framework hands them over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from offhook.receiver.errors import MalformedHeaderError, MissingHeaderError

HeaderText = str | bytes
HeaderPairs = Iterable[tuple[HeaderText, HeaderText]]


class HasPairs(Protocol):
    """What a multi-dict of headers offers (those of Werkzeug, Starlette, aiohttp, Django and `http.client`)."""

    def items(self) -> HeaderPairs:
        """All pairs of name and value."""
        ...


Headers = Mapping[str, str] | HasPairs | HeaderPairs

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
ATTEMPT, SUBJECT, SEQUENCE, POSITION = (
    "offhook-attempt",
    "offhook-subject",
    "offhook-sequence",
    "offhook-position",
)
_WANTED = frozenset({ID, TIMESTAMP, SIGNATURE, ATTEMPT, SUBJECT, SEQUENCE, POSITION})

# Without a dot: it divides id, time and body in what is signed, and may not stand in any of the first two.
_ID_TEXT = re.compile(r"[!-\-/-~]{1,256}")
_NUMBER_TEXT = re.compile(r"[0-9]{1,18}")
_SECONDS_TEXT = re.compile(r"[0-9]{1,11}")
_VISIBLE_TEXT = re.compile(r"[!-~]{1,512}")


def wanted_headers(headers: Headers) -> dict[str, str]:
    """The headers a webhook has, by lower-case name (RFC 9110, section 5.1: names ignore case).

    Raises MalformedHeaderError for one that is no text, and for one that is there twice: which of the two was signed
    is anybody's guess.
    """
    pairs: HeaderPairs = headers.items() if hasattr(headers, "items") else headers
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = _text(raw_name, "").lower()
        if name not in _WANTED:
            continue
        if name in found:
            raise MalformedHeaderError(f"the header {name} is there more than once", field=name)
        found[name] = _text(raw_value, name).strip(" \t")
    return found


def _text(part: HeaderText, name: str) -> str:
    """A name, or the value of the header `name`, as text. What a program put there itself may be anything."""
    if isinstance(part, bytes):
        return part.decode("latin-1")
    if not isinstance(part, str):
        what = f"the header {name}" if name else "the name of a header"
        raise MalformedHeaderError(f"{what} must be text", field=name or None)
    return part


def event_id(found: Mapping[str, str]) -> str:
    """The value of `webhook-id`: visible ASCII without a dot."""
    return _matching(_required(found, ID), ID, _ID_TEXT, "visible ASCII text without a dot")


def unix_seconds(found: Mapping[str, str]) -> int:
    """The value of `webhook-timestamp`."""
    return int(_matching(_required(found, TIMESTAMP), TIMESTAMP, _SECONDS_TEXT, "a count of seconds since 1970"))


def v1_signatures(found: Mapping[str, str]) -> list[bytes]:
    """Every `v1,…` entry of `webhook-signature`, prefix included; entries of other versions are passed over.

    Raises MalformedHeaderError when an entry is no `version,signature` or when there is no `v1` among them.
    """
    entries = _required(found, SIGNATURE).split()
    if not all("," in entry for entry in entries):
        raise MalformedHeaderError(f"{SIGNATURE} must hold entries like v1,<base64>", field=SIGNATURE)
    candidates = [entry.encode("utf-8", "replace") for entry in entries if entry.startswith("v1,")]
    if not candidates:
        raise MalformedHeaderError(f"{SIGNATURE} holds no v1 entry", field=SIGNATURE)
    return candidates


def optional_number(found: Mapping[str, str], name: str) -> int | None:
    """A whole number, or None when the header is not there."""
    return int(_matching(found[name], name, _NUMBER_TEXT, "a whole number")) if name in found else None


def optional_text(found: Mapping[str, str], name: str) -> str | None:
    """Visible ASCII text, or None when the header is not there."""
    return _matching(found[name], name, _VISIBLE_TEXT, "visible ASCII text") if name in found else None


def _required(found: Mapping[str, str], name: str) -> str:
    try:
        return found[name]
    except KeyError:
        raise MissingHeaderError(f"the header {name} is missing", field=name) from None


def _matching(value: str, name: str, pattern: re.Pattern[str], form: str) -> str:
    if pattern.fullmatch(value) is None:
        raise MalformedHeaderError(f"the header {name} must be {form}", field=name)
    return value
