"""What the delivery engine reads: pending deliveries of one destination, in the order they are to be sent."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from offhook.domain.catalogue.family import family_of
from offhook.domain.delivery.delivery import Delivery
from offhook.store import schema
from offhook.store.database.prepared import Prepared, Row, driver_cursor
from offhook.store.schema import deliveries, destinations, events, subjects

Cursor = tuple[int, int]
"""Due time and key of the last delivery that was read."""

START: Cursor = (0, 0)
FOREVER_US = 2**62
"""No delivery is due as late as this."""


class _Found(NamedTuple):
    """A delivery as it is found, and the columns that are selected: one and the same order."""

    key: Any
    destination_key: Any
    due_at: Any
    attempt_count: Any
    first_failed_at: Any
    tm_create: Any
    event_id: Any
    type: Any
    sequence: Any
    position: Any
    payload: Any
    subject: Any


_columns = _Found(
    key=deliveries.c.key,
    destination_key=deliveries.c.destination_key,
    due_at=deliveries.c.due_at,
    attempt_count=deliveries.c.attempt_count,
    first_failed_at=deliveries.c.first_failed_at,
    tm_create=deliveries.c.tm_create,
    event_id=events.c.id,
    type=events.c.type,
    sequence=events.c.sequence,
    position=events.c.position,
    payload=events.c.payload,
    subject=subjects.c.subject,
)
_select: sa.Select[Any] = (
    sa.select(*_columns)
    .select_from(
        deliveries.join(events, events.c.key == deliveries.c.event_key).outerjoin(
            subjects, subjects.c.key == events.c.subject_key
        )
    )
    .where(~schema.IS_ERASING)
)


class _Statements:
    """What is read of deliveries, for one dialect."""

    def __init__(self, dialect_name: str) -> None:
        def prepared(statement: sa.Select[Any], *names: str) -> Prepared:
            return Prepared(statement, names, dialect_name)

        def given(name: str) -> sa.BindParameter[int]:
            return sa.bindparam(name, type_=sa.BigInteger())

        columns = deliveries.c
        pending = _select.where(columns.destination_key == given("destination"), schema.IS_PENDING)
        in_order = pending.order_by(columns.due_at, columns.key).limit(given("limit"))
        place = sa.tuple_(columns.due_at, columns.key)
        beyond = place > sa.tuple_(given("after_due"), given("after_key"))
        self.due = prepared(
            in_order.where(beyond, columns.due_at <= given("until")),
            *("destination", "after_due", "after_key", "until", "limit"),
        )
        light = _columns._replace(payload=sa.null())
        self.holding = prepared(
            in_order.where(
                columns.due_at >= given("since"), columns.first_failed_at >= given("since")
            ).with_only_columns(*light, maintain_column_froms=True),
            *("destination", "since", "limit"),
        )
        self.next_due = prepared(
            sa.select(sa.func.min(columns.due_at)).where(
                columns.destination_key == given("destination"), schema.IS_PENDING, columns.due_at > given("after")
            ),
            *("destination", "after"),
        )
        self.one = prepared(_select.where(columns.key == given("delivery"), schema.IS_PENDING), "delivery")
        self.subject_key = prepared(
            sa.select(subjects.c.key)
            .join(destinations, destinations.c.customer_key == subjects.c.customer_key)
            .where(destinations.c.key == given("destination"), subjects.c.subject == sa.bindparam("of_subject")),
            *("destination", "of_subject"),
        )
        self.of_subject = prepared(
            _select.where(
                events.c.subject_key == given("of_subject"),
                events.c.sequence >= given("from_sequence"),
                sa.or_(events.c.sequence > given("from_sequence"), columns.key >= given("from_key")),
                # An expression keeps the planner from walking through everything that the destination has pending.
                columns.destination_key + sa.text("0") == given("destination"),
                columns.attempt_count == sa.text("0"),
                schema.IS_PENDING,
            )
            .order_by(events.c.sequence, columns.key)
            .limit(given("limit")),
            *("of_subject", "from_sequence", "from_key", "destination", "limit"),
        )


@cache
def _statements(dialect_name: str) -> _Statements:
    return _Statements(dialect_name)


def load_due(
    connection: sa.Connection,
    destination_key: int,
    *,
    after: Cursor,
    until_us: int,
    limit: int,
    max_bytes: int = 2**62,
) -> list[Delivery]:
    """Pending deliveries due by `until_us`, beyond the cursor, in order of due time and key.

    At most `limit`, and no more after `max_bytes` of payload.
    """
    statement = _statements(connection.dialect.name).due
    after_due, after_key = after
    rows = statement.iterate(
        driver_cursor(connection),
        destination=destination_key,
        after_due=after_due,
        after_key=after_key,
        until=until_us,
        limit=limit,
    )
    return _take(rows, max_bytes)


def load_holding(
    connection: sa.Connection, destination_key: int, *, failed_since_us: int, limit: int
) -> list[Delivery]:
    """Deliveries that failed a moment ago and hold their subject, without their payloads.

    A start has to know them before it sends. They are due after their failure: only so much of the backlog is read.
    """
    statement = _statements(connection.dialect.name).holding
    rows = statement.fetch(driver_cursor(connection), destination=destination_key, since=failed_since_us, limit=limit)
    return [_delivery(row) for row in rows]


def load_subject(
    connection: sa.Connection,
    destination_key: int,
    subject: str,
    *,
    place: tuple[int, int],
    limit: int,
    max_bytes: int = 2**62,
) -> tuple[list[Delivery], tuple[int, int] | None]:
    """Never tried deliveries of one subject from `place` (sequence, key) on, and the place beyond; None: no more."""
    statements, cursor = _statements(connection.dialect.name), driver_cursor(connection)
    found = statements.subject_key.fetch(cursor, destination=destination_key, of_subject=subject)
    if not found:
        return [], None
    ((subject_key,),) = found
    from_sequence, from_key = place
    read = statements.of_subject.iterate(
        cursor,
        of_subject=subject_key,
        from_sequence=from_sequence,
        from_key=from_key,
        destination=destination_key,
        limit=limit,
    )
    rows = _take(read, max_bytes)
    is_last = len(rows) < limit and sum(len(row.payload) for row in rows) < max_bytes
    return rows, None if is_last else (rows[-1].sequence or 0, rows[-1].key + 1)


def next_due_us(connection: sa.Connection, destination_key: int, *, after_us: int) -> int | None:
    """When the first delivery due after `after_us` is due."""
    statement = _statements(connection.dialect.name).next_due
    ((due_us,),) = statement.fetch(driver_cursor(connection), destination=destination_key, after=after_us)
    return None if due_us is None else int(due_us)


def load_delivery(connection: sa.Connection, delivery_key: int) -> Delivery | None:
    """One pending delivery, with its payload."""
    found = _statements(connection.dialect.name).one.fetch(driver_cursor(connection), delivery=delivery_key)
    return _delivery(found[0]) if found else None


def _take(rows: Iterable[Row], max_bytes: int) -> list[Delivery]:
    taken: list[Delivery] = []
    byte_count = 0
    for row in rows:
        taken.append(_delivery(row))
        byte_count += len(taken[-1].payload)
        if byte_count >= max_bytes:
            break
    return taken


def _delivery(row: Row) -> Delivery:
    found = _Found._make(row)
    return Delivery(
        key=found.key,
        destination_key=found.destination_key,
        event_id=found.event_id,
        subject=found.subject or "",
        sequence=found.sequence,
        position=found.position,
        payload=found.payload or b"",
        family=family_of(found.type),
        created_us=found.tm_create,
        due_us=found.due_at,
        attempt_count=found.attempt_count,
        first_failed_us=found.first_failed_at,
    )
