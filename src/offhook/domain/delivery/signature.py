"""Signing a webhook: Standard Webhooks `v1` beside VoIPBIN's own header. Verifying lives in `receiver`."""

from __future__ import annotations

import base64
import secrets as random
from collections.abc import Sequence

from offhook.domain.delivery.standard_webhooks import (
    SECRET_PREFIX,
    PreparedHmac,
    signed_content,
    signing_key,
    standard_signature,
)
from offhook.domain.errors import InvalidError

_NEW_KEY_BYTES = 32


def new_secret() -> str:
    """A fresh webhook secret: `whsec_` and the base64 of 32 random bytes (contract, section 2)."""
    return SECRET_PREFIX + base64.b64encode(random.token_bytes(_NEW_KEY_BYTES)).decode("ascii")


class Signer:
    """Signs everything that goes to one destination; built once from its live secrets, newest first.

    Immutable, so safe to share between tasks. Raises InvalidError for a malformed secret or none at all; its
    message never repeats the secret.
    """

    __slots__ = ("_standard", "_voipbin")

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise InvalidError("a destination needs at least one live secret", field="webhook_secret")
        try:
            self._standard = tuple(PreparedHmac(signing_key(secret)) for secret in secrets)
        except ValueError as error:
            raise InvalidError(str(error), field="webhook_secret") from None
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
