"""How often somebody may be wrong: passwords per username and address, access keys per address.

Pure tables in bounded memory; whoever asks says what time it is, in seconds of a clock that never goes back. Each
answers how long to wait, 0 for "go ahead". What is asked and what came of it are two calls: between them, the caller
lets nobody else ask for the same name or address.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import msgspec

_MAX_ENTRIES = 50_000
_LONGEST_WAIT_S = 60.0
_DOUBLINGS = 6
_HOUR_S = 3_600.0
_MINUTE_S = 60.0


class ThrottleLimits(msgspec.Struct, frozen=True):
    """`free_failures` per username and address and `wrong_keys` per address and minute; 0 of either: no limit."""

    free_failures: int = 5
    hourly_failures: int = 100
    wrong_keys: int = 20


class _Failures(msgspec.Struct, frozen=True):
    """So many since `since_s`, the last at `last_s`."""

    count: int
    since_s: float
    last_s: float


class _Table:
    """Failures by name; beyond `_MAX_ENTRIES` the oldest are forgotten.

    Names are kept as hashes, as strangers choose how long they are.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, _Failures] = OrderedDict()

    def get(self, *name: str) -> _Failures | None:
        return self._entries.get(_hashed(name))

    def add(self, *name: str, begins_anew: bool, now_s: float) -> None:
        """One more failure; the first one if it `begins_anew`."""
        key = _hashed(name)
        before = None if begins_anew else self._entries.get(key)
        self._entries[key] = (
            _Failures(1, now_s, now_s) if before is None else _Failures(before.count + 1, before.since_s, now_s)
        )
        self._entries.move_to_end(key)
        if len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)

    def drop(self, *name: str) -> None:
        self._entries.pop(_hashed(name), None)


class LogInThrottle:
    """Failed log-ins.

    Per username and address some are free, then each costs a wait of 1 s, doubling to 60 s. Per username, whatever
    the address, 100 an hour are, then each costs 60 s: only then do strangers' failures keep a right password out.
    """

    def __init__(self, limits: ThrottleLimits) -> None:
        self._limits = limits
        self._pairs = _Table()
        self._usernames = _Table()

    def wait_s(self, username: str, address: str, now_s: float) -> float:
        """How long this username may not be tried from this address."""
        pair, name = self._pairs.get(username, address), self._usernames.get(username)
        wait_s = 0.0
        if pair is not None:
            wait_s = pair.last_s + self._pair_wait_s(pair.count) - now_s
        if name is not None and name.count >= self._limits.hourly_failures and now_s - name.since_s < _HOUR_S:
            wait_s = max(wait_s, name.last_s + _LONGEST_WAIT_S - now_s)
        return max(0.0, wait_s)

    def failed(self, username: str, address: str, now_s: float) -> None:
        """A log-in was wrong. Without a username (a malformed one has none) only its address counts."""
        if not self._limits.free_failures:
            return
        pair, name = self._pairs.get(username, address), self._usernames.get(username)
        was_long_ago = pair is not None and now_s - pair.last_s >= _HOUR_S
        self._pairs.add(username, address, begins_anew=was_long_ago, now_s=now_s)
        if username:
            is_over = name is not None and now_s - name.since_s >= _HOUR_S
            self._usernames.add(username, begins_anew=is_over, now_s=now_s)

    def succeeded(self, username: str, address: str) -> None:
        """The password was right: this address begins anew. What others did elsewhere stays counted."""
        self._pairs.drop(username, address)

    def _pair_wait_s(self, count: int) -> float:
        over = count - self._limits.free_failures
        return 0.0 if over < 0 else min(_LONGEST_WAIT_S, 2.0 ** min(over, _DOUBLINGS))


class KeyGuesses:
    """Credentials that nobody has: so many a minute and address, then none of it is looked up until the minute ends."""

    def __init__(self, limits: ThrottleLimits) -> None:
        self._limit = limits.wrong_keys
        self._addresses = _Table()

    def wait_s(self, address: str, now_s: float) -> float:
        """How long no unknown credential from this address is looked up."""
        found = self._addresses.get(address)
        if found is None or found.count < self._limit:
            return 0.0
        return max(0.0, found.since_s + _MINUTE_S - now_s)

    def failed(self, address: str, now_s: float) -> None:
        """A credential was wrong."""
        if self._limit:
            found = self._addresses.get(address)
            is_over = found is not None and now_s - found.since_s >= _MINUTE_S
            self._addresses.add(address, begins_anew=is_over, now_s=now_s)


def _hashed(name: tuple[str, ...]) -> bytes:
    return hashlib.blake2b(repr(name).encode("utf-8", "surrogatepass"), digest_size=16).digest()
