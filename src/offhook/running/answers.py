"""What whoever waits for an answer is told when there is no state to give."""

from __future__ import annotations

from typing import Any

from offhook.domain.errors import (
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    OffhookError,
    OverLimitError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from offhook.domain.step import Refusal
from offhook.store.commit.unit import Result

_KINDS: dict[int, type[OffhookError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    503: UnavailableError,
}
_RETRY_AFTER_S = 1


class RuleFailedError(Exception):
    """A rule of ours raised, and nothing was done: 500. The cause is what it raised."""


def state_of(result: Result) -> Any:
    """The state of the row that was asked about. Raises OffhookError as the unit was refused, else RuleFailedError."""
    if result.is_done:
        return result.states[0]
    if result.refused is not None:
        raise _error_of(result.refused)
    cause = result.faults[-1].error if result.faults else None
    raise RuleFailedError("A rule raised, and nothing was done.") from cause


def stopping() -> UnavailableError:
    """Nothing is accepted any more."""
    return UnavailableError("The server is stopping. Try again in a moment.")


def too_late(*, was_begun: bool) -> UnavailableError:
    """There was no answer for too long."""
    if was_begun:
        return UnavailableError(
            "The database does not answer. This may still be done; look before you repeat it.",
            reason="OUTCOME_UNKNOWN",
        )
    return UnavailableError("Too much is waiting to be written. Nothing was done; try again in a moment.")


def _error_of(refusal: Refusal) -> Exception:
    told: dict[str, Any] = {"reason": refusal.reason, "field": refusal.field or None}
    if refusal.status == 429:
        return OverLimitError(refusal.message, retry_after_s=_RETRY_AFTER_S, **told)
    kind = _KINDS.get(refusal.status)
    if kind is None:
        return RuleFailedError(f"A rule refused with the status {refusal.status}: {refusal.message}")
    return kind(refusal.message, **told)
