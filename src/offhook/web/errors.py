"""Errors on the wire: one table from class to status, one envelope (facts, section 2.2)."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

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

log = structlog.get_logger()

STATUS_OF: dict[type[OffhookError], tuple[int, str]] = {
    InvalidError: (400, "INVALID_ARGUMENT"),
    UnauthenticatedError: (401, "UNAUTHENTICATED"),
    NotAllowedError: (403, "PERMISSION_DENIED"),
    NotFoundError: (404, "NOT_FOUND"),
    ConflictError: (409, "FAILED_PRECONDITION"),
    TooLargeError: (413, "INVALID_ARGUMENT"),
    OverLimitError: (429, "RESOURCE_EXHAUSTED"),
    UnavailableError: (503, "UNAVAILABLE"),
}

STATUSES: tuple[tuple[int, str, str], ...] = (
    (400, "INVALID_ARGUMENT", "The input is malformed."),
    (401, "UNAUTHENTICATED", "No credential, or one that is unknown or expired."),
    (403, "PERMISSION_DENIED", "The caller is known but may not do this."),
    (404, "NOT_FOUND", "No such thing, or not the caller's."),
    (405, "NOT_FOUND", "The route exists and does not take this method; `Allow` says which it takes."),
    (409, "FAILED_PRECONDITION", "The thing is in a state that forbids this."),
    (409, "ALREADY_EXISTS", "There is one of this name already."),
    (413, "INVALID_ARGUMENT", "The input is larger than the limit."),
    (429, "RESOURCE_EXHAUSTED", "Too many requests; `Retry-After` says when to come back."),
    (500, "INTERNAL", "A fault of ours."),
    (503, "UNAVAILABLE", "Something this depends on is not there right now."),
)
"""Every answer of 400 and above: HTTP status, `status`, and when."""

REASONS: dict[str, str] = {
    "INVALID_ARGUMENT": "A field does not exist, or has a value that it cannot have; `details` names it.",
    "MALFORMED_REQUEST": "What was sent is no HTTP/1.1 request; the connection is closed.",
    "INVALID_JSON_BODY": "The body is not the JSON that the route takes.",
    "INVALID_ID": "An id in the path is not a UUID.",
    "INVALID_REQUEST_PARAMETER": "A query parameter does not exist, or has a value that it cannot have.",
    "MISSING_REQUEST_PARAMETER": "A query parameter is missing.",
    "INVALID_WEBHOOK_URI": "webhook_uri cannot be sent to; the message says why.",
    "INVALID_WEBHOOK_METHOD": "webhook_method is not POST, PUT, GET or DELETE.",
    "INVALID_CREDENTIALS": "The token, access key or password is wrong, expired or revoked.",
    "AUTHENTICATION_REQUIRED": "The request carries no token and no access key.",
    "PERMISSION_DENIED": "The caller's role does not allow this.",
    "CROSS_ORIGIN": "A web page of another origin asked for a change with this server's cookie.",
    "ACCOUNT_FROZEN": "The customer is frozen.",
    "RESOURCE_NOT_FOUND": "There is no such thing, or it is another customer's.",
    "ROUTE_NOT_FOUND": "There is no such route.",
    "METHOD_NOT_ALLOWED": "The route exists and does not take this method.",
    "CUSTOMER_NOT_FOUND": "There is no such customer.",
    "AGENT_NOT_FOUND": "There is no such agent.",
    "ACCESSKEY_NOT_FOUND": "There is no such access key.",
    "CALL_NOT_FOUND": "There is no such call.",
    "EVENT_NOT_FOUND": "There is no such event, or it is older than what is kept.",
    "STATE_INVALID": "The thing is in a state that does not allow this.",
    "ALREADY_EXISTS": "There is one of this name already.",
    "CURSOR_BEYOND_END": "The cursor is beyond the newest event: it is not of this log.",
    "CURSOR_OF_ANOTHER_EPOCH": "A backup was restored since the cursor was given out.",
    "WEBHOOK_OFF": "The customer has no webhook_uri.",
    "EVENT_ERASED": "The event's payload was erased.",
    "EVENT_ID_REUSED": "An event with this id exists and is another one.",
    "IDEMPOTENCY_KEY_REUSED": "The Idempotency-Key was used with another body within 24 hours.",
    "PAYLOAD_TOO_LARGE": "The request or an event is larger than the limit.",
    "RATE_LIMIT_EXCEEDED": "Too many requests; Retry-After says when to come back.",
    "SERVICE_UNAVAILABLE": "Something this depends on is not there right now. Nothing was done; try again.",
    "OUTCOME_UNKNOWN": "The database went away, and whether this was done is not known. Repeat it with the same id or "
    "Idempotency-Key.",
    "QUERY_TOO_LONG": "The answer would take too long to find. Ask for less, or try again in a moment.",
    "INTERNAL": "A fault of ours. The request id finds it in the server's log.",
}


class ErrorBody(msgspec.Struct, frozen=True):
    """What is inside `error`."""

    status: str
    reason: str
    message: str
    request_id: str
    details: list[dict[str, Any]]


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """Every answer of 400 and above."""

    error: ErrorBody


class Refusal(msgspec.Struct, frozen=True):
    """An error as an answer: HTTP status, body, headers."""

    status_code: int
    body: bytes
    headers: dict[str, str]


def refusal_of(error: BaseException, request_id: str) -> Refusal:
    """The answer for an error. One that is not ours is logged, and tells the client nothing but the request id."""
    known = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), None)
    if not isinstance(error, OffhookError) or known is None:
        log.error("web.internal_error", request_id=request_id, exc_info=error)
        message = "Something went wrong on our side. Give the operator the request id."
        return _refusal(500, "INTERNAL", "INTERNAL", message, request_id, [])
    code, status = known
    details = list(error.details)
    if error.field is not None:
        place = {} if error.index is None else {"index": error.index}
        details.insert(0, {"field": error.field, **place})
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, OverLimitError) else {}
    if error.reason == "METHOD_NOT_ALLOWED":
        code = 405
    elif error.reason == "ALREADY_EXISTS":
        status = "ALREADY_EXISTS"
    return _refusal(code, status, error.reason, error.message, request_id, details, headers)


def _refusal(
    code: int,
    status: str,
    reason: str,
    message: str,
    request_id: str,
    details: list[dict[str, Any]],
    headers: dict[str, str] | None = None,
) -> Refusal:
    body = ErrorEnvelope(ErrorBody(status, reason, message, request_id, details))
    return Refusal(code, msgspec.json.encode(body), headers or {})


def reference_page() -> str:
    """The page `docs/reference/errors.md`."""
    rows = "\n".join(f"| `{reason}` | {meaning} |" for reason, meaning in sorted(REASONS.items()))
    statuses = "\n".join(f"| {code} | `{status}` | {when} |" for code, status, when in STATUSES)
    return (
        "# Errors\n\n"
        "<!-- Generated by `make docs` from src/offhook/web/errors.py. -->\n\n"
        'Every answer of 400 and above is `{"error": {"status", "reason", "message", "request_id", "details"}}`. '
        "`details` is a list; its first object names the `field` at fault and, in a batch, its `index`.\n\n"
        f"| HTTP | status | when |\n|---|---|---|\n{statuses}\n\n"
        "A 405 has `Allow`, a 429 `Retry-After` in seconds. `X-Request-Id` names each request, also in the server's "
        "log.\n\n"
        f"| reason | meaning |\n|---|---|\n{rows}\n"
    )
