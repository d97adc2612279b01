"""Page tokens: a place in a list, in the form in which a client is given it and gives it back.

A list of deliveries goes by their keys, and so does its token.
"""

from __future__ import annotations

from offhook.domain.errors import InvalidError

_LONGEST_KEY = 18


def key_token(key: int | None) -> str:
    """The token of what comes after `key`; empty if nothing does."""
    return "" if key is None else str(key)


def read_key_token(token: str) -> int | None:
    """The key that a token stands for, None for the beginning. Raises InvalidError (page_token)."""
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) <= _LONGEST_KEY):
        raise _foreign()
    return int(token)


def _foreign() -> InvalidError:
    return InvalidError(
        "page_token is not one that this list gave out.", reason="INVALID_REQUEST_PARAMETER", field="page_token"
    )
