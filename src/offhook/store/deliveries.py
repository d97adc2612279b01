"""The delivery log, in the shapes that the contract shows (section 5)."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.errors import InvalidError
from offhook.domain.times import rfc3339_or_none
from offhook.store import schema
from offhook.store.events import find_customer_key, find_subject_key, get_event
from offhook.store.scan import Found, Walk, is_few, scan
from offhook.store.schema import DeliveryStatus, attempts, deliveries, destinations, events, subjects, uris

_STATUS_NAMES = {
    DeliveryStatus.PENDING: "pending",
    DeliveryStatus.SUCCEEDED: "succeeded",
    DeliveryStatus.EXHAUSTED: "exhausted",
    DeliveryStatus.CANCELLED: "cancelled",
}
_MAX_OF_EVENT = 1_000
STATUSES = ("pending", "held", "succeeded", "exhausted", "cancelled")


class DeliveryRow(msgspec.Struct, frozen=True):
    """One event for one destination (contract, section 5). `uri` is where it went, or would go now."""

    id: str
    event_id: str
    event_type: str
    subject: str
    destination: str
    uri: str
    status: str
    held_reason: str
    attempt_count: int
    last_outcome: str
    last_status_code: int | None
    tm_create: str | None
    tm_next_attempt: str | None
    tm_done: str | None


class AttemptRow(msgspec.Struct, frozen=True):
    """One HTTP try (contract, section 5). `status_code` is null if no answer came; `response` its first 4 KiB."""

    number: int
    destination: str
    uri: str
    outcome: str
    status_code: int | None
    latency_ms: int
    response: str
    tm_start: str | None


def list_deliveries(
    connection: sa.Connection,
    customer_id: str,
    *,
    status: str | None = None,
    event_type: str | None = None,
    subject: str | None = None,
    page_token: str = "",
    page_size: int = 100,
) -> tuple[list[DeliveryRow], str]:
    """A customer's deliveries, newest first, and the token of the page after.

    A page that is not full need not be the last (see `scan`); after the last one the token is empty.
    Raises InvalidError (page_token, status).
    """
    customer_key = find_customer_key(connection, customer_id)
    index, filters = _with_status(status)
    start = _place(page_token)
    if event_type is not None:
        filters.append(events.c.type == event_type)
    if subject is not None:
        subject_key = find_subject_key(connection, customer_key, subject)
        if subject_key is None:
            return [], ""
        filters.append(events.c.subject_key == subject_key)
        if is_few(connection, _of_subject(subject_key)):
            return _page(_few_of_subject(connection, [*index, *filters], start, page_size))
    walk = Walk(deliveries.c.key, [deliveries.c.customer_key == customer_key, *index], start, newest_first=True)
    return _page(scan(connection, _select, walk, filters, page_size))


def deliveries_of_event(connection: sa.Connection, customer_id: str, event_id: str) -> list[DeliveryRow]:
    """The deliveries of one event, oldest first; the newest 1,000 of them, if it was sent again that often.

    Raises NotFoundError.
    """
    event = get_event(connection, customer_id, event_id)
    statement = _select.where(deliveries.c.event_key == event.key).order_by(deliveries.c.key.desc())
    return [_delivery_row(row) for row in reversed(connection.execute(statement.limit(_MAX_OF_EVENT)).all())]


def attempts_of_event(connection: sa.Connection, customer_id: str, event_id: str) -> list[AttemptRow]:
    """Every attempt at one event, oldest first, success included. Raises NotFoundError."""
    event = get_event(connection, customer_id, event_id)
    failed = connection.execute(_attempts.where(deliveries.c.event_key == event.key)).all()
    # A success is not written as a row of its own: the delivery holds it.
    final = connection.execute(
        _final_attempts.where(deliveries.c.event_key == event.key, deliveries.c.started_at.is_not(None))
    ).all()
    rows = sorted([*failed, *final], key=lambda row: (row.started_at, row.number))
    return [_attempt_row(row) for row in rows]


_target = sa.case(
    (destinations.c.activeflow_id == "", "customer"), else_=sa.literal("activeflow/") + destinations.c.activeflow_id
)
_present = uris.alias("present_uri")
_used = uris.alias("used_uri")
_select: sa.Select[Any] = sa.select(
    deliveries.c.key,
    events.c.id.label("event_id"),
    events.c.type,
    subjects.c.subject,
    _target.label("destination"),
    _present.c.uri.label("present_uri"),
    _used.c.uri.label("used_uri"),
    deliveries.c.status,
    destinations.c.held_reason,
    deliveries.c.attempt_count,
    deliveries.c.last_outcome,
    deliveries.c.last_status_code,
    deliveries.c.tm_create,
    deliveries.c.due_at,
    deliveries.c.tm_done,
).select_from(
    deliveries.join(events, events.c.key == deliveries.c.event_key)
    .join(destinations, destinations.c.key == deliveries.c.destination_key)
    .outerjoin(subjects, subjects.c.key == events.c.subject_key)
    .outerjoin(_present, _present.c.key == destinations.c.uri_key)
    .outerjoin(_used, _used.c.key == deliveries.c.uri_key)
)
_attempts: sa.Select[Any] = sa.select(
    attempts.c.number,
    _target.label("destination"),
    uris.c.uri,
    attempts.c.outcome,
    attempts.c.status_code,
    attempts.c.latency_ms,
    attempts.c.response,
    attempts.c.started_at,
).select_from(
    attempts.join(deliveries, deliveries.c.key == attempts.c.delivery_key)
    .join(destinations, destinations.c.key == deliveries.c.destination_key)
    .outerjoin(uris, uris.c.key == attempts.c.uri_key)
)
_final_attempts: sa.Select[Any] = sa.select(
    deliveries.c.attempt_count.label("number"),
    _target.label("destination"),
    uris.c.uri,
    deliveries.c.last_outcome.label("outcome"),
    deliveries.c.last_status_code.label("status_code"),
    deliveries.c.latency_ms,
    deliveries.c.response,
    deliveries.c.started_at,
).select_from(
    deliveries.join(destinations, destinations.c.key == deliveries.c.destination_key).outerjoin(
        uris, uris.c.key == deliveries.c.uri_key
    )
)


def _with_status(status: str | None) -> tuple[list[sa.ColumnElement[bool]], list[sa.ColumnElement[bool]]]:
    """What a status means: a condition with an index of its own, and what is to be looked at besides."""
    match status:
        case None:
            return [], []
        case "pending":
            return [schema.IS_PENDING], [destinations.c.held_reason == ""]
        case "held":
            return [schema.IS_PENDING], [destinations.c.held_reason != ""]
        case "exhausted":
            return [schema.IS_EXHAUSTED], []
        case "succeeded":
            return [], [deliveries.c.status == int(DeliveryStatus.SUCCEEDED)]
        case "cancelled":
            return [schema.IS_CANCELLED], []
        case _:
            raise InvalidError(f"status is one of {', '.join(STATUSES)}.", field="status")


def _place(page_token: str) -> int | None:
    if not page_token:
        return None
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) < 19):
        raise InvalidError(
            "page_token is not one that this list gave out.", reason="INVALID_REQUEST_PARAMETER", field="page_token"
        )
    return int(page_token)


def _of_subject(subject_key: int) -> sa.Select[Any]:
    return (
        sa.select(deliveries.c.key)
        .join(events, events.c.key == deliveries.c.event_key)
        .where(events.c.subject_key == subject_key)
    )


def _few_of_subject(
    connection: sa.Connection, conditions: list[sa.ColumnElement[bool]], start: int | None, page_size: int
) -> Found:
    """One subject's deliveries, if they are few: an expression keeps a planner from walking all of the customer's."""
    key = deliveries.c.key + 0
    beyond = [] if start is None else [key < start]
    rows = connection.execute(_select.where(*conditions, *beyond).order_by(key.desc()).limit(page_size)).all()
    return Found(list(rows), rows[-1].key if len(rows) == page_size else None)


def _page(found: Found) -> tuple[list[DeliveryRow], str]:
    return [_delivery_row(row) for row in found.rows], "" if found.place is None else str(found.place)


def _delivery_row(row: sa.Row[Any]) -> DeliveryRow:
    pending = row.status == DeliveryStatus.PENDING
    held = pending and row.held_reason != ""
    return DeliveryRow(
        id=str(row.key),
        event_id=row.event_id,
        event_type=row.type,
        subject=row.subject or "",
        destination=row.destination,
        uri=(row.present_uri if pending else row.used_uri) or "",
        status="held" if held else _STATUS_NAMES[DeliveryStatus(row.status)],
        held_reason=row.held_reason if held else "",
        attempt_count=row.attempt_count,
        last_outcome=row.last_outcome,
        last_status_code=row.last_status_code,
        tm_create=rfc3339_or_none(row.tm_create),
        tm_next_attempt=rfc3339_or_none(row.due_at) if pending and not held else None,
        tm_done=rfc3339_or_none(row.tm_done),
    )


def _attempt_row(row: sa.Row[Any]) -> AttemptRow:
    return AttemptRow(
        number=row.number,
        destination=row.destination,
        uri=row.uri or "",
        outcome=row.outcome,
        status_code=row.status_code,
        latency_ms=row.latency_ms or 0,
        response=(row.response or b"").decode("utf-8", "replace"),
        tm_start=rfc3339_or_none(row.started_at),
    )
