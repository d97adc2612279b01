"""From a credential to its caller, without a question to the database on the hot path."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime

import msgspec

from offhook.accounts.passwords import Passwords
from offhook.accounts.tokens import ACCESS_KEY_PREFIX, LoginTokens, TokenClaims, access_key_hash
from offhook.domain.customer import Caller, access_key_caller
from offhook.domain.errors import InvalidError, UnauthenticatedError
from offhook.store.access_keys import find_key_holder
from offhook.store.agents import find_login
from offhook.store.store import Store

_MAX_CACHED = 10_000
_FROZEN = "frozen"


class _Cached(msgspec.Struct, frozen=True):
    caller: Caller
    good_until_s: float


class Authenticator:
    """Resolves credentials. Whoever changes an account calls `forget_all` after the commit."""

    def __init__(self, store: Store, tokens: LoginTokens, passwords: Passwords) -> None:
        self._store = store
        self._tokens = tokens
        self._passwords = passwords
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        self._generation = 0

    @property
    def token_lifetime_s(self) -> int:
        """How long a log in's token is good for, in seconds."""
        return self._tokens.lifetime_s

    def forget_all(self) -> None:
        """An account changed: every credential is looked up again."""
        self._cache.clear()
        self._generation += 1

    async def log_in(self, username: str, password: str) -> str:
        """A token for the right password. Raises InvalidError otherwise, after the same time."""
        # PostgreSQL refuses the question itself where a text holds a NUL, and nobody has such a name.
        asked = "" if "\0" in username else username
        login = await self._store.read(lambda connection: find_login(connection, username=asked))
        is_right = await self._passwords.check(password, login.password_hash if login else None)
        if login is None or not is_right:
            raise InvalidError("The username or the password is wrong.", reason="INVALID_CREDENTIALS", field="password")
        return self._tokens.encode(
            TokenClaims(login.agent_id, login.token_version), login.customer_id, datetime.now(UTC)
        )

    async def caller_of(self, credential: str) -> Caller:
        """Whose credential it is: a log in's token or an access key. Raises UnauthenticatedError."""
        cached = self._cache.get(credential)
        if cached is not None and time.time() < cached.good_until_s:
            return cached.caller
        generation = self._generation
        found = await self._look_up(credential)
        if found is None:
            raise UnauthenticatedError(
                "The token or access key is unknown, expired or revoked. Log in again, or use another access key.",
                reason="INVALID_CREDENTIALS",
                field="token",
            )
        if generation == self._generation:
            self._cache[credential] = found
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return found.caller

    async def _look_up(self, credential: str) -> _Cached | None:
        if credential.startswith(ACCESS_KEY_PREFIX):
            return await self._by_access_key(credential)
        claims = self._tokens.decode(credential)
        return None if claims is None else await self._by_claims(claims)

    async def _by_access_key(self, credential: str) -> _Cached | None:
        hashed = access_key_hash(credential)
        holder = await self._store.read(lambda connection: find_key_holder(connection, hashed))
        if holder is None:
            return None
        until_s = float("inf") if holder.expire_us is None else holder.expire_us / 1e6
        if time.time() >= until_s:
            return None
        caller = access_key_caller(holder.customer_id, is_frozen=holder.customer_status == _FROZEN)
        return _Cached(caller, until_s)

    async def _by_claims(self, claims: TokenClaims) -> _Cached | None:
        login = await self._store.read(lambda connection: find_login(connection, agent_id=claims.agent_id))
        if login is None or login.token_version != claims.token_version:
            return None
        caller = Caller(login.customer_id, login.agent_id, login.permission, is_frozen=login.customer_status == _FROZEN)
        return _Cached(caller, claims.good_until_s)
