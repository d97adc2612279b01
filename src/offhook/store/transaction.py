"""What a change may do inside the group's transaction, and how a group's rows are written.

Many changes share one transaction. Each adds its events and attempt records to lists; the lists are written together,
a few statements for the whole group, just before the commit. Positions and sequences are given there, under the row
locks of `customer_positions`, so that their order is the order in which events become visible. Rows are locked in
order of their keys, so that two nodes on one PostgreSQL cannot wait for each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.delivery import AttemptRecord, Delivery
from offhook.domain.errors import NotFoundError
from offhook.domain.event import Event, NewEvent
from offhook.domain.ids import new_event_id
from offhook.domain.outcome import Outcome
from offhook.store import schema
from offhook.store.keys import KeySource
from offhook.store.schema import DeliveryStatus

_STATUS = {
    "pending": int(DeliveryStatus.PENDING),
    "succeeded": int(DeliveryStatus.SUCCEEDED),
    "exhausted": int(DeliveryStatus.EXHAUSTED),
}

_insert_events = sa.insert(schema.events)
_insert_deliveries = sa.insert(schema.deliveries)
_insert_attempts = sa.insert(schema.attempts)
_advance_position = (
    sa.update(schema.customer_positions)
    .where(schema.customer_positions.c.customer_key == sa.bindparam("for_customer"))
    .values(position=schema.customer_positions.c.position + sa.bindparam("count"))
    .returning(schema.customer_positions.c.position)
)
# The status is asked for again: a delivery that was cancelled while an attempt was under way stays cancelled.
_end_delivery = (
    sa.update(schema.deliveries)
    .where(schema.deliveries.c.key == sa.bindparam("for_key"), schema.IS_PENDING)
    .values(
        {
            name: sa.bindparam(name)
            for name in (
                "status",
                "attempt_count",
                "last_outcome",
                "last_status_code",
                "uri_key",
                "started_at",
                "latency_ms",
                "response",
                "tm_done",
            )
        }
    )
)
_postpone_delivery = (
    sa.update(schema.deliveries)
    .where(schema.deliveries.c.key == sa.bindparam("for_key"), schema.IS_PENDING)
    .values(
        {
            name: sa.bindparam(name)
            for name in (
                "attempt_count",
                "last_outcome",
                "last_status_code",
                "due_at",
                "first_failed_at",
            )
        }
    )
)


def _upsert_subjects(module: Any) -> Any:
    statement = module.insert(schema.subjects)
    return statement.on_conflict_do_update(
        index_elements=["customer_key", "subject"],
        set_={"sequence": schema.subjects.c.sequence + statement.excluded.sequence},
    ).returning(
        schema.subjects.c.key,
        schema.subjects.c.customer_key,
        schema.subjects.c.subject,
        schema.subjects.c.sequence,
    )


_subject_upserts: Mapping[str, Any] = {
    "sqlite": _upsert_subjects(sqlite),
    "postgresql": _upsert_subjects(postgresql),
}


class Committed(msgspec.Struct):
    """What one commit made durable, in order: told to everyone who subscribed to the store.

    `changed` are destinations whose uri, method, secrets or state is another now; `woken` those that have pending
    deliveries which are not in `deliveries`; `erased` subjects (customer id, subject) whose payloads are gone.
    `hurried` are pending deliveries that are due now, whatever was said before.
    `everything` says that what was committed is not known (the database went away during the commit): look again.
    """

    events: list[Event] = msgspec.field(default_factory=list)
    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    changed: set[int] = msgspec.field(default_factory=set)
    woken: set[int] = msgspec.field(default_factory=set)
    erased: set[tuple[str, str]] = msgspec.field(default_factory=set)
    hurried: set[int] = msgspec.field(default_factory=set)
    everything: bool = False


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


class Transaction:
    """One group-commit transaction, as its changes see it. Lives on the writer's thread."""

    def __init__(self, connection: sa.Connection, keys: Keys, customer_keys: dict[str, int], now_us: int) -> None:
        self._connection = connection
        self._keys = keys
        self._customer_keys = customer_keys
        self.now_us = now_us
        self.committed = Committed()
        self._events: list[NewEvent] = []
        self._records: list[AttemptRecord] = []
        self._touched = False

    @property
    def connection(self) -> sa.Connection:
        """For statements of the change's own. A change that fails after asking for it costs the group a second run."""
        self._touched = True
        return self._connection

    @property
    def reader(self) -> sa.Connection:
        """For SELECT only: what a change must know before it decides."""
        return self._connection

    def add_event(self, event: NewEvent) -> str:
        """Add an event, and its delivery to every destination that is on. Returns its id."""
        if not event.id:
            event = msgspec.structs.replace(event, id=new_event_id())
        self._events.append(event)
        return event.id

    def record(self, record: AttemptRecord) -> None:
        """Write down how an attempt ended."""
        self._records.append(record)

    def next_key(self, table: str) -> int:
        """A fresh key for a row of `table`."""
        return self._keys.take(self.connection, table)[0]

    def customer_key(self, customer_id: str) -> int:
        """The customer's own key. Raises NotFoundError."""
        key = self._customer_keys.get(customer_id)
        if key is None:
            key = self._connection.execute(
                sa.select(schema.customers.c.key).where(schema.customers.c.id == customer_id)
            ).scalar()
            if key is None:
                raise NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND")
            self._customer_keys[customer_id] = key
        return key

    def mark(self) -> tuple[int, int]:
        """A place to come back to with `undo`, for a change that fails before it touched the database."""
        self._touched = False
        return len(self._events), len(self._records)

    def undo(self, mark: tuple[int, int]) -> bool:
        """Drop what was added since `mark`. False if the change used `connection`, so that only a rollback helps."""
        del self._events[mark[0] :]
        del self._records[mark[1] :]
        return not self._touched

    def flush(self) -> None:
        """Write the group's events, deliveries and attempt records."""
        if self._events:
            self._flush_events()
        if self._records:
            self._flush_records()

    def _flush_events(self) -> None:
        new = [(self.customer_key(event.customer_id), event) for event in self._events]
        self._events = []
        positions = self._give_positions(new)
        subjects = self._give_sequences(new)
        keys = self._keys.take(self._connection, "events", len(new))
        rows = []
        for key, (customer_key, event) in zip(keys, new, strict=True):
            position = positions[customer_key] = positions[customer_key] + 1
            subject_key = sequence = None
            if event.subject:
                slot = subjects[customer_key, event.subject]
                slot[1] += 1
                subject_key, sequence = slot
            rows.append(
                {
                    "key": key,
                    "id": event.id,
                    "customer_key": customer_key,
                    "position": position,
                    "type": event.type,
                    "subject_key": subject_key,
                    "sequence": sequence,
                    "payload": event.payload,
                    "tm_create": self.now_us,
                }
            )
            self.committed.events.append(
                Event(
                    key,
                    event.id,
                    event.customer_id,
                    event.type,
                    event.subject,
                    sequence,
                    position,
                    event.payload,
                    self.now_us,
                )
            )
        self._connection.execute(_insert_events, rows)
        self._add_deliveries(new, rows)

    def _give_positions(self, new: Sequence[tuple[int, NewEvent]]) -> dict[int, int]:
        """The position before the first new event, per customer."""
        counts: dict[int, int] = defaultdict(int)
        for customer_key, _ in new:
            counts[customer_key] += 1
        before = {}
        for customer_key in sorted(counts):
            count = counts[customer_key]
            after = self._connection.execute(
                _advance_position, {"for_customer": customer_key, "count": count}
            ).scalar_one()
            before[customer_key] = after - count
        return before

    def _give_sequences(self, new: Sequence[tuple[int, NewEvent]]) -> dict[tuple[int, str], list[int]]:
        """For every subject its key and the sequence before its first new event."""
        counts: dict[tuple[int, str], int] = defaultdict(int)
        for customer_key, event in new:
            if event.subject:
                counts[customer_key, event.subject] += 1
        if not counts:
            return {}
        keys = self._keys.take(self._connection, "subjects", len(counts))
        rows = [
            {
                "key": key,
                "customer_key": customer_key,
                "subject": subject,
                "sequence": counts[customer_key, subject],
            }
            for key, (customer_key, subject) in zip(keys, sorted(counts), strict=True)
        ]
        found = self._connection.execute(_subject_upserts[self._connection.dialect.name], rows)
        return {
            (row.customer_key, row.subject): [row.key, row.sequence - counts[row.customer_key, row.subject]]
            for row in found
        }

    def _add_deliveries(self, new: Sequence[tuple[int, NewEvent]], rows: Sequence[dict[str, Any]]) -> None:
        targets = self._destinations_of({customer_key for customer_key, _ in new})
        wanted = [
            (destination, event, row)
            for (customer_key, event), row in zip(new, rows, strict=True)
            for destination in _chosen(targets, customer_key, event)
        ]
        if not wanted:
            return
        keys = self._keys.take(self._connection, "deliveries", len(wanted))
        inserts = []
        for key, (destination_key, event, row) in zip(keys, wanted, strict=True):
            inserts.append(
                {
                    "key": key,
                    "event_key": row["key"],
                    "customer_key": row["customer_key"],
                    "destination_key": destination_key,
                    "status": 0,
                    "due_at": self.now_us,
                    "tm_create": self.now_us,
                    "attempt_count": 0,
                    "last_outcome": "",
                }
            )
            self.committed.deliveries.append(
                Delivery(
                    key,
                    destination_key,
                    event.id,
                    event.subject,
                    row["sequence"],
                    row["position"],
                    event.payload,
                    event.type.partition("_")[0],
                    self.now_us,
                    self.now_us,
                )
            )
        self._connection.execute(_insert_deliveries, inserts)

    def _destinations_of(self, customer_keys: Iterable[int]) -> dict[tuple[int, str], int]:
        table = schema.destinations
        found = self._connection.execute(
            sa.select(table.c.customer_key, table.c.activeflow_id, table.c.key).where(
                table.c.customer_key.in_(sorted(customer_keys)), table.c.uri_key.is_not(None)
            )
        )
        return {(row.customer_key, row.activeflow_id): row.key for row in found}

    def _flush_records(self) -> None:
        records, self._records = self._records, []
        failures = [record for record in records if record.status != "succeeded"]
        if failures:
            self._connection.execute(_insert_attempts, [_attempt_row(record) for record in failures])
        ended = [_end_row(record) for record in records if record.status != "pending"]
        if ended:
            self._connection.execute(_end_delivery, ended)
        postponed = [_postpone_row(record) for record in records if record.status == "pending"]
        if postponed:
            self._connection.execute(_postpone_delivery, postponed)


def _chosen(targets: dict[tuple[int, str], int], customer_key: int, event: NewEvent) -> list[int]:
    chosen = [targets[customer_key, ""]] if (customer_key, "") in targets else []
    if event.activeflow_id and (customer_key, event.activeflow_id) in targets:
        chosen.append(targets[customer_key, event.activeflow_id])
    return chosen


def _attempt_row(record: AttemptRecord) -> dict[str, Any]:
    return {
        "delivery_key": record.delivery_key,
        "number": record.number,
        "uri_key": record.uri_key,
        "outcome": record.outcome.value,
        "status_code": record.status_code,
        "started_at": record.started_us,
        "latency_ms": record.latency_ms,
        "response": record.response,
    }


def _end_row(record: AttemptRecord) -> dict[str, Any]:
    # The response of a failed last attempt is in `attempts` already.
    succeeded = record.outcome is Outcome.SUCCEEDED
    return {
        "for_key": record.delivery_key,
        "status": _STATUS[record.status],
        "attempt_count": record.number,
        "last_outcome": record.outcome.value,
        "last_status_code": record.status_code,
        "uri_key": record.uri_key,
        "started_at": record.started_us if succeeded else None,
        "latency_ms": record.latency_ms if succeeded else None,
        "response": record.response if succeeded else None,
        "tm_done": record.ended_us,
    }


def _postpone_row(record: AttemptRecord) -> dict[str, Any]:
    return {
        "for_key": record.delivery_key,
        "attempt_count": record.number,
        "last_outcome": record.outcome.value,
        "last_status_code": record.status_code,
        "due_at": record.due_us,
        "first_failed_at": record.first_failed_us,
    }
