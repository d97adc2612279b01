"""What a customer's program imports: verify a webhook, get a typed event, pass over duplicates.

`verify` is all that most programs need. `offhook.receiver.flask` and `offhook.receiver.asgi` do it for a whole
route. Nothing here needs the rest of Offhook, a network or a file.
"""

from __future__ import annotations

from offhook.receiver.duplicates import DuplicateFilter
from offhook.receiver.errors import (
    BadSignatureError,
    BodyTooLargeError,
    MalformedBodyError,
    MalformedHeaderError,
    MalformedSecretError,
    MissingHeaderError,
    TimestampTooNewError,
    TimestampTooOldError,
    VerificationError,
)
from offhook.receiver.event import Event
from offhook.receiver.verification import DEFAULT_TOLERANCE, Verifier, verify

__all__ = [
    "DEFAULT_TOLERANCE",
    "BadSignatureError",
    "BodyTooLargeError",
    "DuplicateFilter",
    "Event",
    "MalformedBodyError",
    "MalformedHeaderError",
    "MalformedSecretError",
    "MissingHeaderError",
    "TimestampTooNewError",
    "TimestampTooOldError",
    "VerificationError",
    "Verifier",
    "verify",
]
