"""What strangers wrote, made fit to be shown."""

from __future__ import annotations


def plain(text: object) -> str:
    """One line of text, without control characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))


def plain_lines(text: str) -> list[str]:
    """The lines of a traceback without control characters, each indented: none passes for a line of the log."""
    return [f"  {plain(line)}" for line in text.rstrip("\n").split("\n")]
