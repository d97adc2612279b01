"""What strangers wrote, made fit to be shown."""

from __future__ import annotations


def plain(text: object) -> str:
    """One line of text, without control characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
