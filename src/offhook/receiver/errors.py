"""Why a webhook was not accepted: one class per reason, all of them VerificationErrors.

No message repeats a secret, a signature or anything of the body, so they may be logged.
"""

from __future__ import annotations

from typing import ClassVar


class VerificationError(Exception):
    """The request is not a webhook that Offhook signed just now; answer 400 and do nothing else.

    `reason` is a stable upper-case code, `message` says what is wrong, `field` names the header at fault, if one is.
    """

    default_reason: ClassVar[str] = "VERIFICATION_FAILED"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = self.default_reason
        self.field = field


class MissingHeaderError(VerificationError):
    """A header that every webhook carries is not there; `field` names it."""

    default_reason = "MISSING_HEADER"


class MalformedHeaderError(VerificationError):
    """A header is there twice, or does not have the form it must have; `field` names it."""

    default_reason = "MALFORMED_HEADER"


class TimestampTooOldError(VerificationError):
    """The attempt was signed longer ago than tolerated: a replay, or this machine's clock is ahead."""

    default_reason = "TIMESTAMP_TOO_OLD"


class TimestampTooNewError(VerificationError):
    """The attempt was signed further in the future than tolerated: this machine's clock is behind."""

    default_reason = "TIMESTAMP_TOO_NEW"


class BadSignatureError(VerificationError):
    """No signature fits: another secret, or a body changed on the way (parsed and written anew, for instance)."""

    default_reason = "BAD_SIGNATURE"


class MalformedSecretError(VerificationError):
    """A secret given to verify with is none: a fault of the receiver's configuration, not of the request."""

    default_reason = "MALFORMED_SECRET"


class MalformedBodyError(VerificationError):
    """The body is incomplete or is not `{"type": text, "data": object}`."""

    default_reason = "MALFORMED_BODY"


class BodyTooLargeError(VerificationError):
    """The body is longer than the receiver allows; answer 413."""

    default_reason = "BODY_TOO_LARGE"
