"""Signing a webhook: Standard Webhooks `v1` beside VoIPBIN's own header. Verifying lives in `receiver`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets as random
from collections.abc import Sequence

from offhook.domain.errors import InvalidError

SECRET_PREFIX = "whsec_"  # noqa: S105 - the marker that every secret starts with, not a secret
SCHEME = "v1"
_NEW_KEY_BYTES = 32
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64
_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def new_secret() -> str:
    """A fresh webhook secret: `whsec_` and the base64 of 32 random bytes (contract, section 2)."""
    return SECRET_PREFIX + base64.b64encode(random.token_bytes(_NEW_KEY_BYTES)).decode("ascii")


def signing_key(secret: str) -> bytes:
    """The key inside `secret`, whose `whsec_` may be missing, as in the public libraries.

    Raises InvalidError naming `webhook_secret` when the rest is not base64 of 24 to 64 bytes
    (Standard Webhooks 1.0, "Signature scheme", symmetric). The message never repeats the secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidError("a webhook secret is whsec_ and base64 text", field="webhook_secret") from None
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise InvalidError(
            f"a webhook secret holds {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes, this one {len(key)}",
            field="webhook_secret",
        )
    return key


def signed_content(event_id: str, timestamp: int, body: bytes) -> bytes:
    """What `v1` signs: `id.timestamp.body` (Standard Webhooks 1.0, "Signature scheme")."""
    return b"%b.%d.%b" % (event_id.encode(), timestamp, body)


class PreparedHmac:
    """HMAC-SHA256 under one key, its two padded halves hashed ahead (RFC 2104, section 4).

    Half the price of `hmac.digest` with OpenSSL 3, which looks its algorithm up anew at every call.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def digest(self, content: bytes) -> bytes:
        """The 32 bytes of the HMAC of `content`."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return outer.digest()


def standard_signature(mac: PreparedHmac, content: bytes) -> str:
    """One `v1,<base64>` entry of `webhook-signature` for `signed_content`."""
    return f"{SCHEME},{binascii.b2a_base64(mac.digest(content), newline=False).decode('ascii')}"


class Signer:
    """Signs everything that goes to one destination; built once from its live secrets, newest first.

    Immutable, so safe to share between tasks. Raises InvalidError for a malformed secret or none at all.
    """

    __slots__ = ("_standard", "_voipbin")

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise InvalidError("a destination needs at least one live secret", field="webhook_secret")
        self._standard = tuple(PreparedHmac(signing_key(secret)) for secret in secrets)
        # VoIPBIN keys its header with the text of the secret, not with the bytes it stands for.
        self._voipbin = PreparedHmac(secrets[0].encode("ascii"))

    def headers(self, event_id: str, timestamp: int, body: bytes) -> tuple[str, str]:
        """The values of `webhook-signature` and `X-VoIPBIN-Signature`; `timestamp` in unix seconds.

        The first holds one `v1,<base64>` per live secret, separated by spaces; the second is
        `sha256=<hex>` over the raw body, under the newest secret only.
        """
        content = signed_content(event_id, timestamp, body)
        standard = " ".join([standard_signature(mac, content) for mac in self._standard])
        return standard, "sha256=" + self._voipbin.digest(body).hex()

    def __repr__(self) -> str:
        return f"Signer({len(self._standard)} secrets)"
