"""The two credentials: the token of a log in (JWT, HS256) and the access key."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

import jwt
import msgspec

from offhook.store.queries.secrets import secret_of
from offhook.store.store import Store

ACCESS_KEY_PREFIX = "vb_"
_PREFIX_LENGTH = 11
_SECRET_NAME = "login_token"  # noqa: S105 - the row's name, not the secret
_ALGORITHM = "HS256"


class TokenClaims(msgspec.Struct, frozen=True):
    """What a log in's token says of its holder; `good_until_s` is its `exp`, a Unix time."""

    agent_id: str
    token_version: int
    good_until_s: float = 0.0


class LoginTokens:
    """Makes and reads log-in tokens. The signing secret lives in the database, made once."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        self._secret = secret
        self._lifetime = lifetime

    @property
    def lifetime_s(self) -> int:
        """How long a token is good for, in seconds."""
        return int(self._lifetime.total_seconds())

    def encode(self, claims: TokenClaims, customer_id: str, now: datetime) -> str:
        """A token with the standard `sub`, `iat` and `exp`."""
        return jwt.encode(
            {
                "type": "agent",
                "sub": claims.agent_id,
                "customer_id": customer_id,
                "ver": claims.token_version,
                "iat": now,
                "exp": now + self._lifetime,
            },
            self._secret,
            algorithm=_ALGORITHM,
        )

    def decode(self, token: str) -> TokenClaims | None:
        """What a token says; None if it is not ours, or its time is over."""
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=[_ALGORITHM], options={"require": ["exp", "sub", "iat"]}
            )
        except jwt.PyJWTError:
            return None
        version = claims.get("ver")
        return TokenClaims(claims["sub"], version, float(claims["exp"])) if isinstance(version, int) else None


async def load_login_tokens(store: Store, lifetime: timedelta) -> LoginTokens:
    """The tokens of this database; makes the signing secret the first time."""
    made = secrets.token_hex(32)
    return LoginTokens(await store.write(lambda tx: secret_of(tx, _SECRET_NAME, made)), lifetime)


def new_access_key() -> str:
    """`vb_` and 32 base64url characters (facts, section 1.4)."""
    return ACCESS_KEY_PREFIX + secrets.token_urlsafe(24)


def access_key_prefix(token: str) -> str:
    """The part of an access key that is shown."""
    return token[:_PREFIX_LENGTH]


def access_key_hash(token: str) -> str:
    """What is kept of an access key. A plain hash does: 192 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()
