"""Page tokens of lists that go by the keys of their rows alone; those of all others are in `domain.place`."""

from __future__ import annotations

from offhook.domain.place import foreign_token

_LONGEST_KEY = 18


def key_token(key: int | None) -> str:
    """The token of what comes after `key`; empty if nothing does."""
    return "" if key is None else str(key)


def read_key_token(token: str) -> int | None:
    """The key that a token stands for, None for the beginning. Raises InvalidError (page_token)."""
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) <= _LONGEST_KEY):
        raise foreign_token()
    return int(token)
