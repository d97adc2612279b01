"""What both sides of a signature agree on: key, signed text and HMAC (Standard Webhooks 1.0, symmetric `v1`).

Only the standard library is imported here, for the distribution `offhook-receiver` takes this module along.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

SECRET_PREFIX = "whsec_"  # noqa: S105 - the marker that every secret starts with, not a secret
SCHEME = "v1"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64
_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def signing_key(secret: str) -> bytes:
    """The key inside `secret`, whose `whsec_` may be missing, as in the public libraries.

    Raises ValueError when the rest is not base64 of 24 to 64 bytes ("Signature scheme", symmetric). The message
    never repeats the secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValueError("a webhook secret is whsec_ and base64 text") from None
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise ValueError(f"a webhook secret holds {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes, this one {len(key)}")
    return key


def signed_content(event_id: str, timestamp: int, body: bytes) -> bytes:
    """What `v1` signs: `id.timestamp.body` ("Signature scheme")."""
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
