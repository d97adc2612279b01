"""The delivery log: a customer's deliveries, and the attempts at one event."""

from __future__ import annotations

from typing import Any, assert_never

import sqlalchemy as sa

from offhook.domain.delivery.delivery_log import LoggedAttempt, LoggedDelivery, LoggedStatus
from offhook.store import schema
from offhook.store.queries.events import find_customer_key, find_event_key, find_subject_key, get_event
from offhook.store.queries.scan import Found, Walk, is_few, scan
from offhook.store.schema import DeliveryStatus, attempts, deliveries, destinations, events, subjects, uris

_STATUSES = {
    DeliveryStatus.PENDING: LoggedStatus.PENDING,
    DeliveryStatus.SUCCEEDED: LoggedStatus.SUCCEEDED,
    DeliveryStatus.EXHAUSTED: LoggedStatus.EXHAUSTED,
    DeliveryStatus.CANCELLED: LoggedStatus.CANCELLED,
}
_MAX_OF_EVENT = 1_000


def list_deliveries(
    connection: sa.Connection,
    customer_id: str,
    *,
    status: LoggedStatus | None = None,
    event_type: str | None = None,
    subject: str | None = None,
    event_id: str | None = None,
    before: int | None = None,
    page_size: int = 100,
) -> tuple[list[LoggedDelivery], int | None]:
    """A customer's deliveries, newest first, and the key before which the next page begins; None after the last one.

    `before` is such a key. A page that is not full need not be the last (see `scan`). Raises NotFoundError.
    """
    customer_key = find_customer_key(connection, customer_id)
    index, filters = _with_status(status)
    if event_type is not None:
        filters.append(events.c.type == event_type)
    narrow: sa.Select[Any] | None = None
    if subject is not None:
        subject_key = find_subject_key(connection, customer_key, subject)
        if subject_key is None:
            return [], None
        filters.append(events.c.subject_key == subject_key)
        narrow = _of_subject(subject_key)
    if event_id is not None:
        event_key = find_event_key(connection, customer_key, event_id)
        if event_key is None:
            return [], None
        filters.append(deliveries.c.event_key == event_key)
        narrow = sa.select(deliveries.c.key).where(deliveries.c.event_key == event_key)
    if narrow is not None and is_few(connection, narrow):
        return _page(_few(connection, [*index, *filters], before, page_size))
    walk = Walk(deliveries.c.key, [deliveries.c.customer_key == customer_key, *index], before, newest_first=True)
    return _page(scan(connection, _select, walk, filters, page_size))


def deliveries_of_event(connection: sa.Connection, customer_id: str, event_id: str) -> list[LoggedDelivery]:
    """The deliveries of one event, oldest first; the newest 1,000 of them, if it was sent again that often.

    Raises NotFoundError.
    """
    event = get_event(connection, customer_id, event_id)
    statement = _select.where(deliveries.c.event_key == event.key).order_by(deliveries.c.key.desc())
    return [_delivery(row) for row in reversed(connection.execute(statement.limit(_MAX_OF_EVENT)).all())]


def attempts_of_event(connection: sa.Connection, customer_id: str, event_id: str) -> list[LoggedAttempt]:
    """The attempts at one event, oldest first, success included.

    The newest 1,000 of them, and only at its newest 1,000 deliveries, if there are more. Raises NotFoundError.
    """
    event = get_event(connection, customer_id, event_id)
    newest = _newest_of(event.key)
    failed = connection.execute(_failed_attempts(newest)).all()
    # A success is not written as a row of its own: the delivery holds it.
    final = connection.execute(_final_attempts(newest)).all()
    rows = sorted([*failed, *final], key=lambda row: (row.started_at, row.number))
    return [_attempt(row) for row in rows[-_MAX_OF_EVENT:]]


def _last(column: sa.Column[Any]) -> sa.ScalarSelect[Any]:
    """Of a delivery's last attempt, if that failed."""
    is_last = sa.and_(attempts.c.delivery_key == deliveries.c.key, attempts.c.number == deliveries.c.attempt_count)
    return sa.select(column).where(is_last).correlate(deliveries).scalar_subquery()


_present = uris.alias("present_uri")
_used = uris.alias("used_uri")
_select: sa.Select[Any] = sa.select(
    deliveries.c.key,
    deliveries.c.destination_key,
    events.c.id.label("event_id"),
    events.c.type,
    subjects.c.subject,
    destinations.c.activeflow_id,
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
    # Looked up for the rows of a page alone. A success is no row of `attempts`.
    sa.func.coalesce(deliveries.c.latency_ms, _last(attempts.c.latency_ms)).label("last_latency_ms"),
    _last(attempts.c.detail).label("last_detail"),
).select_from(
    deliveries.join(events, events.c.key == deliveries.c.event_key)
    .join(destinations, destinations.c.key == deliveries.c.destination_key)
    .outerjoin(subjects, subjects.c.key == events.c.subject_key)
    .outerjoin(_present, _present.c.key == destinations.c.uri_key)
    .outerjoin(_used, _used.c.key == deliveries.c.uri_key)
)


def _newest_of(event_key: int) -> sa.Subquery:
    newest = sa.select(deliveries).where(deliveries.c.event_key == event_key).order_by(deliveries.c.key.desc())
    return newest.limit(_MAX_OF_EVENT).subquery("newest")


def _failed_attempts(newest: sa.Subquery) -> sa.Select[Any]:
    """Those that are rows of `attempts`, newest first."""
    statement = sa.select(
        attempts.c.number,
        destinations.c.activeflow_id,
        uris.c.uri,
        attempts.c.outcome,
        attempts.c.status_code,
        attempts.c.latency_ms,
        attempts.c.response,
        attempts.c.started_at,
        attempts.c.detail,
    ).select_from(
        newest.join(attempts, attempts.c.delivery_key == newest.c.key)
        .join(destinations, destinations.c.key == newest.c.destination_key)
        .outerjoin(uris, uris.c.key == attempts.c.uri_key)
    )
    return statement.order_by(attempts.c.started_at.desc(), attempts.c.number.desc()).limit(_MAX_OF_EVENT)


def _final_attempts(newest: sa.Subquery) -> sa.Select[Any]:
    """Those that ended a delivery: at most one of each."""
    return (
        sa.select(
            newest.c.attempt_count.label("number"),
            destinations.c.activeflow_id,
            uris.c.uri,
            newest.c.last_outcome.label("outcome"),
            newest.c.last_status_code.label("status_code"),
            newest.c.latency_ms,
            newest.c.response,
            newest.c.started_at,
            sa.null().label("detail"),
        )
        .select_from(
            newest.join(destinations, destinations.c.key == newest.c.destination_key).outerjoin(
                uris, uris.c.key == newest.c.uri_key
            )
        )
        .where(newest.c.started_at.is_not(None))
    )


def _with_status(
    status: LoggedStatus | None,
) -> tuple[list[sa.ColumnElement[bool]], list[sa.ColumnElement[bool]]]:
    """What a status means: a condition with an index of its own, and what is to be looked at besides."""
    match status:
        case None:
            return [], []
        case LoggedStatus.PENDING:
            return [schema.IS_PENDING], [destinations.c.held_reason == ""]
        case LoggedStatus.HELD:
            return [schema.IS_PENDING], [destinations.c.held_reason != ""]
        case LoggedStatus.EXHAUSTED:
            return [schema.IS_EXHAUSTED], []
        case LoggedStatus.SUCCEEDED:
            return [], [deliveries.c.status == int(DeliveryStatus.SUCCEEDED)]
        case LoggedStatus.CANCELLED:
            return [schema.IS_CANCELLED], []
        case _:
            assert_never(status)


def _of_subject(subject_key: int) -> sa.Select[Any]:
    return (
        sa.select(deliveries.c.key)
        .join(events, events.c.key == deliveries.c.event_key)
        .where(events.c.subject_key == subject_key)
    )


def _few(
    connection: sa.Connection, conditions: list[sa.ColumnElement[bool]], before: int | None, page_size: int
) -> Found:
    """A subject's or an event's deliveries, if few: an expression keeps a planner from walking all the customer's."""
    key = deliveries.c.key + 0
    beyond = [] if before is None else [key < before]
    rows = connection.execute(_select.where(*conditions, *beyond).order_by(key.desc()).limit(page_size)).all()
    return Found(list(rows), rows[-1].key if len(rows) == page_size else None)


def _page(found: Found) -> tuple[list[LoggedDelivery], int | None]:
    return [_delivery(row) for row in found.rows], found.place


def _delivery(row: sa.Row[Any]) -> LoggedDelivery:
    is_pending = row.status == DeliveryStatus.PENDING
    is_held = is_pending and row.held_reason != ""
    return LoggedDelivery(
        key=row.key,
        destination_key=row.destination_key,
        event_id=row.event_id,
        event_type=row.type,
        subject=row.subject or "",
        activeflow_id=row.activeflow_id,
        uri=(row.present_uri if is_pending else row.used_uri) or "",
        status=LoggedStatus.HELD if is_held else _STATUSES[DeliveryStatus(row.status)],
        held_reason=row.held_reason if is_held else "",
        attempt_count=row.attempt_count,
        last_outcome=row.last_outcome,
        last_status_code=row.last_status_code,
        created_us=row.tm_create,
        next_attempt_us=row.due_at if is_pending and not is_held else None,
        done_us=row.tm_done,
        last_latency_ms=row.last_latency_ms,
        last_detail=row.last_detail or "",
    )


def _attempt(row: sa.Row[Any]) -> LoggedAttempt:
    return LoggedAttempt(
        number=row.number,
        activeflow_id=row.activeflow_id,
        uri=row.uri or "",
        outcome=row.outcome,
        status_code=row.status_code,
        latency_ms=row.latency_ms or 0,
        response=row.response or b"",
        started_us=row.started_at,
        detail=row.detail or "",
    )
