"""The event log: reading by cursor, one event, and erasing a subject."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from offhook.domain.cursor import check_reached
from offhook.domain.errors import NotFoundError
from offhook.domain.event import Event
from offhook.store import schema
from offhook.store.schema import customers, deliveries, events, subjects
from offhook.store.transaction import Transaction

# How far one request looks for events that match a filter, so that a rare type cannot hold a reader for seconds.
_SCAN = 50_000


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
    positions become visible in their order. Raises ConflictError for an `after` that the log has not reached.
    """
    customer_key = _customer_key(connection, customer_id)
    newest = newest_position(connection, customer_key)
    check_reached(after, newest)
    if newest == after:
        return [], after
    end = newest
    statement = _select.where(events.c.customer_key == customer_key, events.c.position > after)
    if type is not None:
        statement = statement.where(events.c.type == type)
        end = min(newest, after + _SCAN)
    if subject is not None:
        subject_key = _subject_key(connection, customer_key, subject)
        if subject_key is None:
            return [], newest
        # One subject's events are few and found by its own index; ordering by sequence keeps a planner on it.
        statement = statement.where(events.c.subject_key == subject_key).order_by(events.c.sequence)
        end = newest
    else:
        statement = statement.order_by(events.c.position)
    rows = connection.execute(statement.where(events.c.position <= end).limit(page_size)).all()
    found = [_event(row, customer_id) for row in rows]
    return found, found[-1].position if len(found) == page_size else end


def newest_position(connection: sa.Connection, customer_key: int) -> int:
    """The last position that was given out, also if its event is no longer kept; 0 before the first."""
    positions = schema.customer_positions
    return (
        connection.execute(sa.select(positions.c.position).where(positions.c.customer_key == customer_key)).scalar()
        or 0
    )


def get_event(connection: sa.Connection, customer_id: str, event_id: str) -> Event:
    """One event. Raises NotFoundError."""
    found = find_events(connection, customer_id, [event_id])
    if event_id not in found:
        raise NotFoundError(f"There is no event {event_id}.", reason="EVENT_NOT_FOUND", field="id")
    return found[event_id]


def find_events(connection: sa.Connection, customer_id: str, ids: Collection[str]) -> dict[str, Event]:
    """Those of a customer's events that have one of these ids, by id."""
    customer_key = _customer_key(connection, customer_id)
    rows = connection.execute(_select.where(events.c.customer_key == customer_key, events.c.id.in_(list(ids))))
    return {row.id: _event(row, customer_id) for row in rows}


def erase_subject(tx: Transaction, customer_id: str, subject: str) -> int:
    """Take the payloads of a subject's events out for good, and cancel what of them is pending. Returns how many.

    The rows stay as tombstones: positions and sequences keep no gap. Answers that receivers gave are erased too, as
    they may repeat what they were sent.
    """
    customer_key = tx.customer_key(customer_id)
    subject_key = _subject_key(tx.reader, customer_key, subject)
    if subject_key is None:
        return 0
    keys = sa.select(events.c.key).where(events.c.subject_key == subject_key)
    of_subject = deliveries.c.event_key.in_(keys)
    tx.connection.execute(
        sa.delete(schema.attempts).where(
            schema.attempts.c.delivery_key.in_(sa.select(deliveries.c.key).where(of_subject))
        )
    )
    tx.connection.execute(
        sa.update(deliveries)
        .where(of_subject, schema.IS_PENDING)
        .values(status=int(schema.DeliveryStatus.CANCELLED), tm_done=tx.now_us)
    )
    tx.connection.execute(sa.update(deliveries).where(of_subject).values(response=b""))
    erased: int = tx.connection.execute(
        sa.update(events).where(events.c.subject_key == subject_key).values(payload=b"")
    ).rowcount
    tx.committed.erased.add((customer_id, subject))
    return erased


_select: sa.Select[Any] = sa.select(
    events.c.key,
    events.c.id,
    events.c.type,
    subjects.c.subject,
    events.c.sequence,
    events.c.position,
    events.c.payload,
    events.c.tm_create,
).select_from(events.outerjoin(subjects, subjects.c.key == events.c.subject_key))


def _event(row: sa.Row[Any], customer_id: str) -> Event:
    return Event(
        key=row.key,
        id=row.id,
        customer_id=customer_id,
        type=row.type,
        subject=row.subject or "",
        sequence=row.sequence,
        position=row.position,
        payload=row.payload,
        created_us=row.tm_create,
        is_erased=not row.payload,
    )


def _customer_key(connection: sa.Connection, customer_id: str) -> int:
    key: int | None = connection.execute(sa.select(customers.c.key).where(customers.c.id == customer_id)).scalar()
    if key is None:
        raise NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND")
    return key


def _subject_key(connection: sa.Connection, customer_key: int, subject: str) -> int | None:
    return connection.execute(
        sa.select(subjects.c.key).where(subjects.c.customer_key == customer_key, subjects.c.subject == subject)
    ).scalar()
