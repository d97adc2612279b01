"""From a credential to its caller, without a question to the database on the hot path."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import msgspec

from offhook.accounts.passwords import Passwords
from offhook.accounts.throttle import KeyGuesses, LogInThrottle, ThrottleLimits
from offhook.accounts.tokens import ACCESS_KEY_PREFIX, LoginTokens, TokenClaims, access_key_hash
from offhook.domain.accounts.customer import Caller, access_key_caller
from offhook.domain.errors import InvalidError, OverLimitError, UnauthenticatedError
from offhook.store.commit.committed import Committed
from offhook.store.queries.access_keys import find_key_holder
from offhook.store.queries.agents import Login, find_login
from offhook.store.store import Store

_MAX_CACHED = 20_000
# No token or key of ours is as long: a longer one is not worth reading.
_MAX_CREDENTIAL = 4_096
_FROZEN = "frozen"


class _Cached(msgspec.Struct, frozen=True):
    caller: Caller
    good_until_s: float
    generation: int


class Authenticator:
    """Resolves credentials, and looks each up again after a commit that changed accounts.

    A credential that was good once is never taken for a guess: it is looked up, whatever others at its address did.
    One that is not known counts against its address when nobody has it.
    """

    def __init__(
        self, store: Store, tokens: LoginTokens, passwords: Passwords, limits: ThrottleLimits | None = None
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._passwords = passwords
        self._cache: OrderedDict[str, _Cached | None] = OrderedDict()
        self._generation = 0
        self._throttle = LogInThrottle(limits or ThrottleLimits())
        self._guesses = KeyGuesses(limits or ThrottleLimits())
        # Whoever asks for the same waits here, so that what came of one is known before the next is let in.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Not left to whoever makes the change: the caller may go away before it is committed.
        store.subscribe(self._on_commit)

    @property
    def token_lifetime_s(self) -> int:
        """How long a log in's token is good for, in seconds."""
        return self._tokens.lifetime_s

    def _on_commit(self, committed: Committed) -> None:
        """What was looked up before is not good any more; what is being looked up is kept as of before."""
        if committed.has_changed_accounts or committed.everything:
            self._generation += 1

    async def log_in(self, username: str, password: str, address: str) -> str:
        """A token for the right password. Raises InvalidError otherwise, after the same time.

        Raises OverLimitError after too many failures, without a look at the password.
        """
        async with self._turn(f"log in {username}"):
            self._check_wait(self._throttle.wait_s(username, address, time.monotonic()), "failed log-ins", "username")
            login = await self._right_login(username, password)
            if login is None:
                self._throttle.failed(username, address, time.monotonic())
                raise InvalidError(
                    "The username or the password is wrong.", reason="INVALID_CREDENTIALS", field="password"
                )
            self._throttle.succeeded(username, address)
        claims = TokenClaims(login.agent_id, login.token_version)
        token = self._tokens.encode(claims, login.customer_id, datetime.now(UTC))
        self.add_known(token)
        return token

    def malformed_log_in(self, address: str) -> None:
        """A log-in that could not even be read. It counts as a failed one; raises OverLimitError after too many."""
        now_s = time.monotonic()
        self._check_wait(self._throttle.wait_s("", address, now_s), "failed log-ins", "ip")
        self._throttle.failed("", address, now_s)

    def add_known(self, credential: str) -> None:
        """This credential was just made: its first use is no guess."""
        self._keep(credential, None)

    def known(self, credential: str) -> Caller | None:
        """Whose credential it is, if that is known for sure without asking the database."""
        cached = self._cache.get(credential)
        if cached is not None and cached.generation == self._generation and time.time() < cached.good_until_s:
            return cached.caller
        return None

    async def caller_of(self, credential: str, address: str) -> Caller:
        """Whose credential it is: a log in's token or an access key. Raises UnauthenticatedError.

        Raises OverLimitError, before any look-up, for one that is unknown from an address with too many wrong ones.
        """
        was_good = credential in self._cache
        async with self._turn(f"again {credential}" if was_good else f"new {address}"):
            # Somebody may have asked for the same while this one waited.
            caller = self.known(credential)
            if caller is not None:
                return caller
            if not was_good:
                self._check_wait(self._guesses.wait_s(address, time.monotonic()), "unknown credentials", "ip")
            generation = self._generation
            found = await self._look_up(credential)
            if found is None:
                self._cache.pop(credential, None)
                if not was_good:
                    self._guesses.failed(address, time.monotonic())
                raise UnauthenticatedError(
                    "The token or access key is unknown, expired or revoked. Log in again, or use another access key.",
                    reason="INVALID_CREDENTIALS",
                    field="token",
                )
            self._keep(credential, _Cached(*found, generation))
            return found[0]

    def _keep(self, credential: str, cached: _Cached | None) -> None:
        self._cache[credential] = cached
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)

    def _turn(self, name: str) -> asyncio.Lock:
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = asyncio.Lock()
        return lock

    def _check_wait(self, wait_s: float, what: str, limited_by: str) -> None:
        if wait_s > 0:
            seconds = math.ceil(wait_s)
            raise OverLimitError(
                f"Too many {what}. Try again in {seconds} s.",
                retry_after_s=seconds,
                details=[{"limited_by": limited_by}],
            )

    async def _right_login(self, username: str, password: str) -> Login | None:
        # PostgreSQL refuses the question itself where a text holds a NUL, and nobody has such a name.
        asked = "" if "\0" in username else username
        login = await self._store.read(lambda connection: find_login(connection, username=asked))
        is_right = await self._passwords.check(password, login.password_hash if login else None)
        return login if is_right else None

    async def _look_up(self, credential: str) -> tuple[Caller, float] | None:
        """The caller, and until when (a Unix time) the credential is good."""
        if len(credential) > _MAX_CREDENTIAL:
            return None
        if credential.startswith(ACCESS_KEY_PREFIX):
            return await self._by_access_key(credential)
        claims = self._tokens.decode(credential)
        return None if claims is None else await self._by_claims(claims)

    async def _by_access_key(self, credential: str) -> tuple[Caller, float] | None:
        hashed = access_key_hash(credential)
        holder = await self._store.read(lambda connection: find_key_holder(connection, hashed))
        if holder is None:
            return None
        until_s = float("inf") if holder.expire_us is None else holder.expire_us / 1e6
        if time.time() >= until_s:
            return None
        return access_key_caller(holder.customer_id, is_frozen=holder.customer_status == _FROZEN), until_s

    async def _by_claims(self, claims: TokenClaims) -> tuple[Caller, float] | None:
        login = await self._store.read(lambda connection: find_login(connection, agent_id=claims.agent_id))
        if login is None or login.token_version != claims.token_version:
            return None
        return _caller_of_login(login), claims.good_until_s


def _caller_of_login(login: Login) -> Caller:
    return Caller(login.customer_id, login.agent_id, login.permission, is_frozen=login.customer_status == _FROZEN)
