"""A token says when it ends, and only our own signature counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from offhook.accounts.tokens import LoginTokens, TokenClaims


def test_a_token_carries_its_own_end() -> None:
    tokens = LoginTokens("k" * 32, timedelta(days=7))
    now = datetime.now(UTC)
    claims = tokens.decode(tokens.encode(TokenClaims("agent", 3), "customer", now))
    assert claims is not None
    assert (claims.agent_id, claims.token_version) == ("agent", 3)
    assert abs(claims.good_until_s - (now + timedelta(days=7)).timestamp()) < 1
    assert tokens.decode(tokens.encode(claims, "customer", now - timedelta(days=8))) is None
    assert LoginTokens("j" * 32, timedelta(days=7)).decode(tokens.encode(claims, "customer", now)) is None
