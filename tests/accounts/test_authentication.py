"""A token says when it ends, and only our own signature counts; who may be wrong how often, and still log in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from offhook.accounts.authentication import Authenticator
from offhook.accounts.first_customer import create_first_customer
from offhook.accounts.passwords import Passwords
from offhook.accounts.tokens import LoginTokens, TokenClaims, load_login_tokens
from offhook.domain.errors import InvalidError, OverLimitError
from offhook.store.store import Store
from tests.store.conftest import database_url, store

__all__ = ["database_url", "store"]


def test_a_token_carries_its_own_end() -> None:
    tokens = LoginTokens("k" * 32, timedelta(days=7))
    now = datetime.now(UTC)
    claims = tokens.decode(tokens.encode(TokenClaims("agent", 3), "customer", now))
    assert claims is not None
    assert (claims.agent_id, claims.token_version) == ("agent", 3)
    assert abs(claims.good_until_s - (now + timedelta(days=7)).timestamp()) < 1
    assert tokens.decode(tokens.encode(claims, "customer", now - timedelta(days=8))) is None
    assert LoginTokens("j" * 32, timedelta(days=7)).decode(tokens.encode(claims, "customer", now)) is None


async def test_no_number_of_strangers_failures_refuses_a_right_password_below_a_hundred(store: Store) -> None:
    # What a hundred checks cost at full strength is half a minute of a core.
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    authenticator = Authenticator(store, await load_login_tokens(store, timedelta(days=1)), passwords)
    own = await create_first_customer(store, passwords, lambda made: None)

    async def fail(address: str) -> None:
        with pytest.raises(InvalidError, match="wrong"):
            await authenticator.log_in(own.username, "wrong", address)

    for stranger in range(24):
        for _ in range(4):
            await fail(f"198.51.100.{stranger}")
    assert await authenticator.log_in(own.username, own.password, "192.0.2.1")
    for stranger in range(4):
        await fail(f"203.0.113.{stranger}")
    for address, password in (("203.0.113.4", "wrong"), ("192.0.2.1", own.password)):
        with pytest.raises(OverLimitError):
            await authenticator.log_in(own.username, password, address)
