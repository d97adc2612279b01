"""The event log: reading by cursor, and one event. Erasing a subject's events is in `erasing`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from offhook.domain.errors import NotFoundError
from offhook.domain.events.event import Event
from offhook.store.queries.scan import Walk, is_few, scan
from offhook.store.schema import IS_ERASING, customer_positions, customers, events, subjects


def list_events(
    connection: sa.Connection,
    customer_id: str,
    *,
    after: int,
    type: str | None = None,  # noqa: A002 - the contract's name
    subject: str | None = None,
    page_size: int = 100,
) -> tuple[list[Event], int]:
    """A customer's events with a position beyond `after`, oldest first, and the position to go on from.

    The second value moves on also past events that the filters leave out, and never past one that is not yet visible:
    positions become visible in their order. A page that is not full need not be the last (see `scan`): that is the one
    after which the position is the newest. For an `after` that the log has not reached it is less than that.
    """
    customer_key = find_customer_key(connection, customer_id)
    newest = newest_position(connection, customer_key)
    if newest <= after:
        return [], newest
    filters = [] if type is None else [events.c.type == type]
    if subject is not None:
        subject_key = find_subject_key(connection, customer_key, subject)
        if subject_key is None:
            return [], newest
        filters.append(events.c.subject_key == subject_key)
        if is_few(connection, sa.select(events.c.key).where(events.c.subject_key == subject_key)):
            return _of_subject(connection, customer_id, filters, after, newest, page_size)
    walk = Walk(events.c.position, [events.c.customer_key == customer_key], after, newest_first=False)
    found = scan(connection, _select, walk, filters, page_size)
    return [_event(row, customer_id) for row in found.rows], newest if found.place is None else found.place


def newest_events(
    connection: sa.Connection,
    customer_id: str,
    *,
    before: int | None = None,
    type: str | None = None,  # noqa: A002 - the contract's name
    subject: str | None = None,
    page_size: int = 100,
) -> tuple[list[Event], int]:
    """A customer's events, newest first, with a position below `before` if that is given.

    The second value is the `before` of the next page; 0 once there is nothing more. A page that is not full need not be
    the last (see `scan`). Raises NotFoundError.
    """
    customer_key = find_customer_key(connection, customer_id)
    filters = [] if type is None else [events.c.type == type]
    if subject is not None:
        subject_key = find_subject_key(connection, customer_key, subject)
        if subject_key is None:
            return [], 0
        filters.append(events.c.subject_key == subject_key)
        if is_few(connection, sa.select(events.c.key).where(events.c.subject_key == subject_key)):
            beyond = [] if before is None else [events.c.position < before]
            statement = _select.where(*filters, *beyond).order_by(events.c.sequence.desc()).limit(page_size)
            rows = list(connection.execute(statement))
            return [_event(row, customer_id) for row in rows], rows[-1].position if len(rows) == page_size else 0
    walk = Walk(events.c.position, [events.c.customer_key == customer_key], before, newest_first=True)
    found = scan(connection, _select, walk, filters, page_size)
    return [_event(row, customer_id) for row in found.rows], found.place or 0


def newest_position(connection: sa.Connection, customer_key: int) -> int:
    """The last position that was given out, also if its event is no longer kept; 0 before the first."""
    positions = customer_positions
    statement = sa.select(positions.c.position).where(positions.c.customer_key == customer_key)
    return connection.execute(statement).scalar() or 0


def get_event(connection: sa.Connection, customer_id: str, event_id: str) -> Event:
    """One event. Raises NotFoundError."""
    found = find_events(connection, customer_id, [event_id])
    if event_id not in found:
        raise NotFoundError(f"There is no event {event_id}.", reason="EVENT_NOT_FOUND", field="id")
    return found[event_id]


def find_events(connection: sa.Connection, customer_id: str, ids: Collection[str]) -> dict[str, Event]:
    """Those of a customer's events that have one of these ids, by id."""
    customer_key = find_customer_key(connection, customer_id)
    rows = connection.execute(_select.where(events.c.customer_key == customer_key, events.c.id.in_(list(ids))))
    return {row.id: _event(row, customer_id) for row in rows}


_select: sa.Select[Any] = sa.select(
    events.c.key,
    events.c.id,
    events.c.type,
    subjects.c.subject,
    events.c.sequence,
    events.c.position,
    events.c.payload,
    events.c.tm_create,
    IS_ERASING.label("is_erasing"),
).select_from(events.outerjoin(subjects, subjects.c.key == events.c.subject_key))


def _of_subject(
    connection: sa.Connection,
    customer_id: str,
    filters: list[sa.ColumnElement[bool]],
    after: int,
    newest: int,
    page_size: int,
) -> tuple[list[Event], int]:
    """One subject's events, if they are few: ordering by sequence keeps a planner on their own index."""
    statement = _select.where(*filters, events.c.position > after).order_by(events.c.sequence).limit(page_size)
    found = [_event(row, customer_id) for row in connection.execute(statement)]
    return found, found[-1].position if len(found) == page_size else newest


def _event(row: sa.Row[Any], customer_id: str) -> Event:
    payload = b"" if row.is_erasing else row.payload
    return Event(
        key=row.key,
        id=row.id,
        customer_id=customer_id,
        type=row.type,
        subject=row.subject or "",
        sequence=row.sequence,
        position=row.position,
        payload=payload,
        created_us=row.tm_create,
        is_erased=not payload,
    )


def find_customer_key(connection: sa.Connection, customer_id: str) -> int:
    """The customer's own key. Raises NotFoundError."""
    key: int | None = connection.execute(sa.select(customers.c.key).where(customers.c.id == customer_id)).scalar()
    if key is None:
        raise NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND")
    return key


def find_subject_key(connection: sa.Connection, customer_key: int, subject: str) -> int | None:
    """The subject's own key; None if there never was one, or not for long."""
    return connection.execute(
        sa.select(subjects.c.key).where(subjects.c.customer_key == customer_key, subjects.c.subject == subject)
    ).scalar()


def find_event_key(connection: sa.Connection, customer_key: int, event_id: str) -> int | None:
    """The event's own key; None if there is no such event."""
    return connection.execute(
        sa.select(events.c.key).where(events.c.customer_key == customer_key, events.c.id == event_id)
    ).scalar()
