"""The one exception tree: leaves are named for meaning, each carries a stable reason code.

`web` maps a class to an HTTP status in one table; nothing else does. A customer's failing server is not an
exception (see `domain.outcome`).
"""

from __future__ import annotations

from typing import Any, ClassVar


class OffhookError(Exception):
    """A refusal a person can act on.

    `reason` is a stable upper-case code, `message` says what to do next, `field` names the input at fault and
    `index` its place in a batch; `details` are further objects for the error envelope.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        index: int | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field
        self.index = index
        self.details = details or []


class InvalidError(OffhookError):
    """The input is malformed (400)."""

    default_reason = "INVALID_ARGUMENT"


class UnauthenticatedError(OffhookError):
    """No credential, or one that is unknown or expired (401)."""

    default_reason = "AUTHENTICATION_REQUIRED"


class NotAllowedError(OffhookError):
    """The caller is known but may not do this (403)."""

    default_reason = "PERMISSION_DENIED"


class NotFoundError(OffhookError):
    """No such thing, or not the caller's (404)."""

    default_reason = "RESOURCE_NOT_FOUND"


class ConflictError(OffhookError):
    """The thing is in a state that forbids this (409)."""

    default_reason = "STATE_INVALID"


class TooLargeError(OffhookError):
    """The input is larger than the limit (413)."""

    default_reason = "PAYLOAD_TOO_LARGE"


class OverLimitError(OffhookError):
    """Too many requests (429); `retry_after_s` says when to come back."""

    default_reason = "RATE_LIMIT_EXCEEDED"

    def __init__(self, message: str, *, retry_after_s: int, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after_s = retry_after_s


class UnavailableError(OffhookError):
    """Something this depends on is not there right now (503)."""

    default_reason = "SERVICE_UNAVAILABLE"


class MisconfiguredError(OffhookError):
    """A setting or the machine is not as it must be; the process does not start."""

    default_reason = "MISCONFIGURED"
