"""What a speech process is told, and what it answers."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True):
    """What is to be spoken, and the file that is made of it."""

    text: str
    language: str
    voice: str
    path: str


class Answer(msgspec.Struct, frozen=True):
    """`failed` says why there is no file; "" if there is one."""

    failed: str = ""
