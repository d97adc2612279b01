"""Short texts that people and programs give: what may stand in them."""

from __future__ import annotations

from offhook.domain.errors import InvalidError

_MAX_TEXT = 1_024


def checked_text(name: str, value: str) -> str:
    """A text of at most 1,024 characters, none of them a control character. Raises InvalidError naming it."""
    if len(value) > _MAX_TEXT:
        raise InvalidError(f"{name} is longer than {_MAX_TEXT} characters.", field=name)
    if any(not character.isprintable() for character in value):
        raise InvalidError(f"{name} contains a control character.", field=name)
    return value
