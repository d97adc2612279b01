"""What a change may do inside the group's transaction, and how a group's rows are written.

Many changes share one transaction, and one that fails must cost its neighbours nothing. So a change reads, decides (it
may raise), and adds what it writes. Its statements (`add_write`) run when it has returned, or before it reads again:
then behind a savepoint, as it may still fail. Its events and attempt records go to lists that are written together, a
few statements for the whole group, just before the commit. Positions and sequences are given there, under the row
locks of `customer_positions`, so that their order is the order in which events become visible. Rows are locked in
order of their keys, so that two nodes on one PostgreSQL cannot wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.delivery import AttemptRecord, Delivery, Destination
from offhook.domain.errors import NotFoundError
from offhook.domain.event import Event, NewEvent
from offhook.domain.ids import new_event_id
from offhook.domain.outcome import Outcome
from offhook.store import schema
from offhook.store.destination_rows import load_destinations
from offhook.store.keys import KeySource
from offhook.store.prepared import Prepared, Row, driver_cursor
from offhook.store.schema import DeliveryStatus

_PENDING = int(DeliveryStatus.PENDING)
_STATUS = {
    "pending": int(DeliveryStatus.PENDING),
    "succeeded": int(DeliveryStatus.SUCCEEDED),
    "exhausted": int(DeliveryStatus.EXHAUSTED),
}


class _Statements:
    """The hot path's statements for one dialect, with the columns in the order of the rows below."""

    def __init__(self, dialect_name: str) -> None:
        module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect_name]
        positions, subjects = schema.customer_positions, schema.subjects

        def insert(table: sa.Table, *names: str) -> Prepared:
            return Prepared(sa.insert(table), names, dialect_name)

        def update(table: sa.Table, where: sa.ColumnElement[bool], *names: str) -> Prepared:
            statement = sa.update(table).where(where).values({name: sa.bindparam(name) for name in names})
            return Prepared(statement, (*names, "for_key"), dialect_name)

        self.advance_position = Prepared(
            sa.update(positions)
            .where(positions.c.customer_key == sa.bindparam("for_key"))
            .values(position=positions.c.position + sa.bindparam("count"))
            .returning(positions.c.position),
            ("count", "for_key"),
            dialect_name,
        )
        upsert = module.insert(subjects)
        self.advance_sequence = Prepared(
            upsert.on_conflict_do_update(
                index_elements=["customer_key", "subject"],
                # A subject that has an event again is not forgotten.
                set_={"sequence": subjects.c.sequence + upsert.excluded.sequence, "forget_at": sa.null()},
            ).returning(subjects.c.key, subjects.c.sequence),
            ("key", "customer_key", "subject", "sequence"),
            dialect_name,
        )
        self.select_customer = Prepared(
            sa.select(schema.customers.c.key).where(schema.customers.c.id == sa.bindparam("of_id")),
            ("of_id",),
            dialect_name,
        )
        targets = schema.destinations
        self.select_destinations = Prepared(
            sa.select(targets.c.activeflow_id, targets.c.key).where(
                targets.c.customer_key == sa.bindparam("for_key"), targets.c.uri_key.is_not(None)
            ),
            ("for_key",),
            dialect_name,
        )
        self.insert_events = insert(
            schema.events,
            *("key", "id", "customer_key", "position", "type", "subject_key", "sequence", "payload", "tm_create"),
        )
        self.insert_deliveries = insert(
            schema.deliveries,
            *("key", "event_key", "customer_key", "destination_key", "status", "due_at", "tm_create"),
            *("attempt_count", "last_outcome"),
        )
        # One that is there already was written by a commit whose answer was lost.
        self.insert_attempts = Prepared(
            module.insert(schema.attempts).on_conflict_do_nothing(),
            ("delivery_key", "number", "uri_key", "outcome", "status_code", "started_at", "latency_ms", "response"),
            dialect_name,
        )
        # What a receiver answered while its subject was being erased would bring back what is gone.
        self.drop_cancelled = Prepared(
            sa.delete(schema.attempts).where(
                schema.attempts.c.delivery_key == sa.bindparam("for_key"),
                ~sa.exists().where(
                    schema.deliveries.c.key == sa.bindparam("for_key"),
                    schema.deliveries.c.status != sa.text(str(int(DeliveryStatus.CANCELLED))),
                ),
            ),
            ("for_key",),
            dialect_name,
        )
        # The status is asked for again: a delivery cancelled while an attempt was under way stays cancelled.
        is_pending = sa.and_(schema.deliveries.c.key == sa.bindparam("for_key"), schema.IS_PENDING)
        self.end_delivery = update(
            schema.deliveries,
            is_pending,
            *("status", "attempt_count", "last_outcome", "last_status_code", "uri_key", "started_at", "latency_ms"),
            *("response", "tm_done"),
        )
        self.postpone_delivery = update(
            schema.deliveries,
            is_pending,
            *("attempt_count", "last_outcome", "last_status_code", "due_at", "first_failed_at"),
        )
        self.select_uri = Prepared(
            sa.select(targets.c.uri_key).where(targets.c.key == sa.bindparam("of_key")), ("of_key",), dialect_name
        )
        self.make_due = Prepared(
            sa.update(schema.deliveries).where(is_pending).values(due_at=schema.deliveries.c.tm_create),
            ("for_key",),
            dialect_name,
        )


@cache
def _statements(dialect_name: str) -> _Statements:
    return _Statements(dialect_name)


class Committed(msgspec.Struct):
    """What one commit made durable, in order: told to everyone who subscribed to the store.

    `changed` are destinations whose uri, method, secrets or state is another now; `woken` those that have pending
    deliveries which are not in `deliveries`; `erased` subjects (customer id, subject) whose payloads are gone.
    `hurried` are pending deliveries that are due now, whatever was said before; `rewound` destinations some of whose
    pending deliveries have become due at a time in the past. `destinations` are those that `deliveries` go to, by key,
    as they are now; without those in `Store.deliver_to`.
    `has_left_over` says that something is left to be done in small steps (`store.steps`), `has_changed_accounts` that
    credentials may be good no longer, or for less than before.
    `everything` says that what was committed is not known (the database was away, and another node may have had it):
    look again.
    """

    events: list[Event] = msgspec.field(default_factory=list)
    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    destinations: dict[int, Destination] = msgspec.field(default_factory=dict)
    changed: set[int] = msgspec.field(default_factory=set)
    woken: set[int] = msgspec.field(default_factory=set)
    erased: set[tuple[str, str]] = msgspec.field(default_factory=set)
    hurried: set[int] = msgspec.field(default_factory=set)
    rewound: set[int] = msgspec.field(default_factory=set)
    has_left_over: bool = False
    has_changed_accounts: bool = False
    everything: bool = False

    def add(self, more: Committed) -> None:
        """What another change of the same group found to tell; its events and deliveries are the group's."""
        self.changed |= more.changed
        self.woken |= more.woken
        self.erased |= more.erased
        self.hurried |= more.hurried
        self.rewound |= more.rewound
        self.has_left_over |= more.has_left_over
        self.has_changed_accounts |= more.has_changed_accounts


class Keys:
    """The key sources of all tables, one set per writer."""

    def __init__(self) -> None:
        self._sources: dict[str, KeySource] = {}

    def take(self, connection: sa.Connection, table: str, count: int = 1) -> range:
        source = self._sources.get(table)
        if source is None:
            source = self._sources[table] = KeySource(table)
        return source.take(connection, count)

    def forget(self) -> None:
        for source in self._sources.values():
            source.forget()

    def mark(self) -> dict[str, tuple[int, int]]:
        return {name: source.mark() for name, source in self._sources.items()}

    def restore(self, mark: dict[str, tuple[int, int]]) -> None:
        for name, source in self._sources.items():
            source.restore(mark.get(name, (0, 0)))


class Transaction:
    """One group-commit transaction, as its changes see it. Lives on the writer's thread."""

    def __init__(
        self,
        connection: sa.Connection,
        keys: Keys,
        customer_keys: Mapping[str, int],
        committed: Committed,
        now_us: int,
        known_destinations: Container[int] = (),
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._customer_keys = customer_keys
        self._known_destinations = known_destinations
        self._total = committed
        self.now_us = now_us
        self.has_written = False
        self.learned: dict[str, int] = {}
        """Customers' keys, by id, that are known for good once this is committed."""
        self._events: list[NewEvent] = []
        self._records: list[AttemptRecord] = []
        self._places: dict[tuple[str, str], int] = {}
        self._own: Committed | None = None
        self._writes: list[tuple[sa.Executable, Any]] = []
        self._mark = (0, 0)
        self._savepoint: dict[str, tuple[int, int]] | None = None
        self._statements = _statements(connection.dialect.name)

    @property
    def connection(self) -> sa.Connection:
        """For statements of this room's own, which run at once: behind a savepoint, as the change may still fail."""
        self._write_now()
        return self._connection

    @property
    def reader(self) -> sa.Connection:
        """For SELECT only: what a change must know before it decides. What it added before is there."""
        if self._writes:
            self._write_now()
        return self._connection

    @property
    def committed(self) -> Committed:
        """For what listeners are to be told of this change, if it is committed."""
        if self._own is None:
            self._own = Committed()
        return self._own

    def add_write(self, statement: sa.Executable, rows: Any = None) -> None:
        """Run a statement once this change is decided; for each of `rows`, if they are given."""
        self._writes.append((statement, rows))

    def add_event(self, event: NewEvent, *, may_be_repeated: bool = False) -> str:
        """Add an event, and its delivery to every destination that is on. Returns its id.

        One that `may_be_repeated` is found by `added_event`.
        """
        if not event.id:
            event = msgspec.structs.replace(event, id=new_event_id())
        if may_be_repeated:
            self._places[event.customer_id, event.id] = len(self._events)
        self._events.append(event)
        return event.id

    def added_event(self, customer_id: str, event_id: str) -> NewEvent | None:
        """An event with this id that the group has added and that the reader does not see yet."""
        place = self._places.get((customer_id, event_id))
        if place is None or place >= len(self._events):
            return None
        event = self._events[place]
        # The one that was added may have been undone, and another one be in its place.
        return event if (event.customer_id, event.id) == (customer_id, event_id) else None

    def record(self, record: AttemptRecord) -> None:
        """Write down how an attempt ended."""
        self._records.append(record)

    def next_key(self, table: str) -> int:
        """A fresh key for a row of `table`."""
        return self._keys.take(self._connection, table)[0]

    def customer_key(self, customer_id: str) -> int:
        """The customer's own key. Raises NotFoundError."""
        key = self._customer_keys.get(customer_id) or self.learned.get(customer_id)
        if key is None:
            self._learn_customers(driver_cursor(self.reader), [customer_id])
            key = self.learned[customer_id]
        return key

    def _learn_customers(self, cursor: Any, customer_ids: Sequence[str]) -> None:
        found = self._statements.select_customer.fetch_each(cursor, [(customer_id,) for customer_id in customer_ids])
        for customer_id, rows in zip(customer_ids, found, strict=True):
            if not rows:
                raise NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND")
            self.learned[customer_id] = rows[0][0]

    def learn_customer(self, customer_id: str, key: int) -> None:
        """This change makes a customer with this key."""
        self.learned[customer_id] = key

    def begin_change(self) -> None:
        """What is added from here on is one change's: `keep` it or `undo` it."""
        self._mark = len(self._events), len(self._records)

    def keep(self) -> None:
        """The change has decided: write what it added, and tell what it told."""
        if self._writes:
            self._run_writes()
        if self._savepoint is not None:
            self._connection.exec_driver_sql("RELEASE SAVEPOINT change")
            self._savepoint = None
        if self._own is not None:
            self._total.add(self._own)
            self._own = None

    def undo(self) -> None:
        """The change has failed: it leaves no trace."""
        del self._events[self._mark[0] :]
        del self._records[self._mark[1] :]
        self._writes.clear()
        self.learned.clear()
        self._own = None
        if self._savepoint is not None:
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT change")
            self._connection.exec_driver_sql("RELEASE SAVEPOINT change")
            self._keys.restore(self._savepoint)
            self._savepoint = None

    def _write_now(self) -> None:
        """Write what was added before the change is decided."""
        self.has_written = True
        if self._savepoint is None:
            self._savepoint = self._keys.mark()
            self._connection.exec_driver_sql("SAVEPOINT change")
        self._run_writes()

    def _run_writes(self) -> None:
        self.has_written = True
        writes, self._writes = self._writes, []
        for statement, rows in writes:
            self._connection.execute(statement, rows)

    def flush(self) -> None:
        """Write the group's events, deliveries and attempt records."""
        self.has_written = self.has_written or bool(self._events or self._records)
        if self._events:
            self._flush_events()
        if self._records:
            self._flush_records()

    def _flush_events(self) -> None:
        cursor = driver_cursor(self._connection)
        known, learned = self._customer_keys, self.learned
        unknown = {event.customer_id for event in self._events} - known.keys() - learned.keys()
        if unknown:
            self._learn_customers(cursor, sorted(unknown))
        new = [(known.get(event.customer_id) or learned[event.customer_id], event) for event in self._events]
        self._events = []
        positions = self._give_positions(cursor, new)
        subjects = self._give_sequences(cursor, new)
        keys = self._keys.take(self._connection, "events", len(new))
        rows: list[Row] = []
        for key, (customer_key, event) in zip(keys, new, strict=True):
            position = positions[customer_key] = positions[customer_key] + 1
            subject_key = sequence = None
            if event.subject:
                slot = subjects[customer_key, event.subject]
                slot[1] += 1
                subject_key, sequence = slot
            rows.append(
                (
                    *(key, event.id, customer_key, position, event.type, subject_key, sequence),
                    *(event.payload, self.now_us),
                )
            )
            self._total.events.append(
                Event(
                    *(key, event.id, event.customer_id, event.type, event.subject, sequence, position),
                    *(event.payload, self.now_us),
                )
            )
        self._statements.insert_events.run_many(cursor, rows)
        self._add_deliveries(cursor, new)

    def _give_positions(self, cursor: Any, new: Sequence[tuple[int, NewEvent]]) -> dict[int, int]:
        """The position before the first new event, per customer."""
        counts = sorted(Counter(customer_key for customer_key, _ in new).items())
        rows = [(count, customer_key) for customer_key, count in counts]
        found = self._statements.advance_position.run_returning(cursor, rows)
        return {customer_key: after[0] - count for (count, customer_key), after in zip(rows, found, strict=True)}

    def _give_sequences(self, cursor: Any, new: Sequence[tuple[int, NewEvent]]) -> dict[tuple[int, str], list[int]]:
        """For every subject its key and the sequence before its first new event."""
        counts = sorted(Counter((customer_key, event.subject) for customer_key, event in new if event.subject).items())
        if not counts:
            return {}
        keys = self._keys.take(self._connection, "subjects", len(counts))
        rows = [(key, *subject, count) for key, (subject, count) in zip(keys, counts, strict=True)]
        found = self._statements.advance_sequence.run_returning(cursor, rows)
        return {subject: [key, after - count] for (subject, count), (key, after) in zip(counts, found, strict=True)}

    def _add_deliveries(self, cursor: Any, new: Sequence[tuple[int, NewEvent]]) -> None:
        targets = self._destinations_of(cursor, {customer_key for customer_key, _ in new})
        wanted = [
            (destination_key, customer_key, event)
            for (customer_key, _), event in zip(new, self._total.events[-len(new) :], strict=True)
            for destination_key in targets.get((customer_key, ""), ())
        ]
        wanted += self._activeflow_deliveries(targets, new)
        if not wanted:
            return
        self._hand_over(cursor, {destination_key for destination_key, _, _ in wanted})
        keys = self._keys.take(self._connection, "deliveries", len(wanted))
        now_us = self.now_us
        self._statements.insert_deliveries.run_many(
            cursor,
            [
                (key, event.key, customer_key, destination_key, _PENDING, now_us, now_us, 0, "")
                for key, (destination_key, customer_key, event) in zip(keys, wanted, strict=True)
            ],
        )
        self._total.deliveries += [
            Delivery(
                *(key, destination_key, event.id, event.subject, event.sequence, event.position, event.payload),
                *(event.type.partition("_")[0], now_us, now_us),
            )
            for key, (destination_key, _, event) in zip(keys, wanted, strict=True)
        ]

    def _activeflow_deliveries(
        self, targets: dict[tuple[int, str], list[int]], new: Sequence[tuple[int, NewEvent]]
    ) -> list[tuple[int, int, Event]]:
        """Deliveries to an activeflow's own destination, in addition to the customer's."""
        return [
            (destination_key, customer_key, event)
            for (customer_key, added), event in zip(new, self._total.events[-len(new) :], strict=True)
            if added.activeflow_id
            for destination_key in targets.get((customer_key, added.activeflow_id), ())
        ]

    def _destinations_of(self, cursor: Any, customer_keys: Iterable[int]) -> dict[tuple[int, str], list[int]]:
        """The destinations that are on, by customer and activeflow."""
        targets: dict[tuple[int, str], list[int]] = {}
        rows = [(customer_key,) for customer_key in sorted(customer_keys)]
        found = self._statements.select_destinations.fetch_each(cursor, rows)
        for (customer_key,), some in zip(rows, found, strict=True):
            for activeflow_id, key in some:
                targets.setdefault((customer_key, activeflow_id), []).append(key)
        return targets

    def _hand_over(self, cursor: Any, destination_keys: set[int]) -> None:
        """Spare whoever delivers a read for each destination that it meets for the first time."""
        unknown = [key for key in destination_keys if key not in self._known_destinations]
        if unknown:
            found = load_destinations(cursor, self._connection.dialect.name, unknown)
            self._total.destinations.update((destination.key, destination) for destination in found)

    def _flush_records(self) -> None:
        records, self._records = self._records, []
        cursor = driver_cursor(self._connection)
        failed = [record for record in records if record.status != "succeeded"]
        if failed:
            self._statements.insert_attempts.run_many(cursor, [_attempt_row(record) for record in failed])
            self._statements.drop_cancelled.run_many(cursor, [(record.delivery_key,) for record in failed])
        moved = self._failed_elsewhere(cursor, failed)
        ended = [record for record in records if _ends(record, moved)]
        if ended:
            self._statements.end_delivery.run_many(cursor, [_end_row(record) for record in ended])
        postponed = [record for record in failed if not _ends(record, moved)]
        if postponed:
            self._statements.postpone_delivery.run_many(cursor, [_postpone_row(record) for record in postponed])
        if moved:
            self._statements.make_due.run_many(cursor, [(key,) for key in moved])
            self._total.rewound.update(record.destination_key for record in moved.values())

    def _failed_elsewhere(self, cursor: Any, failed: Sequence[AttemptRecord]) -> dict[int, AttemptRecord]:
        """What failed last at another uri than its destination has now: it waits for nothing, and is not given up."""
        keys = [(key,) for key in sorted({record.destination_key for record in failed})]
        found = self._statements.select_uri.fetch_each(cursor, keys)
        uri_of = {key: rows[0][0] for (key,), rows in zip(keys, found, strict=True) if rows}
        last = {record.delivery_key: record for record in failed}
        return {key: record for key, record in last.items() if uri_of.get(record.destination_key) != record.uri_key}


def _ends(record: AttemptRecord, moved: Container[int]) -> bool:
    return record.status == "succeeded" or (record.status == "exhausted" and record.delivery_key not in moved)


def _attempt_row(record: AttemptRecord) -> Row:
    return (
        *(record.delivery_key, record.number, record.uri_key, record.outcome.value, record.status_code),
        *(record.started_us, record.latency_ms, record.response),
    )


def _end_row(record: AttemptRecord) -> Row:
    # What a failed last attempt found is in `attempts` already.
    found = (None, None, None)
    if record.outcome is Outcome.SUCCEEDED:
        found = (record.started_us, record.latency_ms, record.response)  # type: ignore[assignment]
    return (
        *(_STATUS[record.status], record.number, record.outcome.value, record.status_code, record.uri_key),
        *found,
        record.ended_us,
        record.delivery_key,
    )


def _postpone_row(record: AttemptRecord) -> Row:
    return (
        *(record.number, record.outcome.value, record.status_code, record.due_us, record.first_failed_us),
        record.delivery_key,
    )
