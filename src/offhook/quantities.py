"""Quantities as a person writes them: durations, sizes, addresses. Each reader raises ValueError with the reason."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)")
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f]")
_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class HostPort(NamedTuple):
    """An address and a port."""

    host: str
    port: int


def duration(text: str) -> timedelta:
    """`500ms`, `5s`, `2m`, `1h`, `30d`."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError("write it as 500ms, 5s, 2m, 1h or 30d")
    return float(found[1]) * _UNITS[found[2]]


def duration_text(value: timedelta) -> str:
    """The shortest way to write a duration that `duration` reads."""
    for unit, length in _UNITS.items():
        if value and not value % length:
            return f"{value // length}{unit}"
    return f"{value // _UNITS['ms']}ms" if value else "0s"


def size(text: str) -> int:
    """`512B`, `64KiB`, `16MiB`, `1GiB`: a number of bytes."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("write it as 512B, 64KiB or 16MiB")
    return int(found[1]) * _BYTES[found[2]]


def truth(text: str) -> bool:
    """`true` or `false`."""
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower() == "true"


def host_port(text: str) -> HostPort:
    """`127.0.0.1:5060`: an address and a port."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("write it as 127.0.0.1:5060")
    return HostPort(host.strip("[]"), int(port))


def web_url(text: str) -> str:
    """`https://offhook.example.com`: where something is reached over HTTP, without user, query or fragment."""
    parts = urlsplit(text)
    # Reading the port checks it.
    is_whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    if not is_whole or "@" in parts.netloc or "?" in text or "#" in text or _NO_URL.search(text):
        raise ValueError("write it as https://offhook.example.com or http://10.0.0.5:8080")
    return text
