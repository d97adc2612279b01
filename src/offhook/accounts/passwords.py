"""Passwords: argon2id, off the event loop, and as slow for a name that does not exist as for one that does."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from offhook.domain.errors import InvalidError

MIN_LENGTH = 8
MAX_LENGTH = 1_024


class Passwords:
    """Hashes and checks passwords, at most two at a time: each costs a core and tens of MiB for a moment.

    That is argon2's own recommendation, unless a `hasher` is given.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(2)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The text to keep for a password."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, password: str, hash_: str | None) -> bool:
        """Whether `password` is the one that was hashed; with no hash at all it is not, and it takes as long."""
        async with self._turns:
            is_right = await asyncio.to_thread(self._verify, password, hash_ or self._nobody)
        return is_right and hash_ is not None

    def _verify(self, password: str, hash_: str) -> bool:
        try:
            return self._hasher.verify(hash_, password)
        except (VerificationError, InvalidHashError):
            return False


def new_password() -> str:
    """A password that a person can copy: 120 bits."""
    return secrets.token_urlsafe(15)


def checked_password(password: str) -> str:
    """Raises InvalidError (password)."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidError(f"password has {MIN_LENGTH} to {MAX_LENGTH} characters.", field="password")
    return password
