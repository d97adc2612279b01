"""How a group's events are written: each with its key, position and sequence, and its deliveries.

Positions and sequences are given here, just before the commit and under the row locks of `customer_positions`, so that
their order is the order in which events become visible. Rows are locked in order of their keys, so that two nodes on
one PostgreSQL cannot wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from offhook.domain.catalogue.family import family_of
from offhook.domain.delivery.delivery import Delivery
from offhook.domain.events.event import Event, NewEvent
from offhook.store import schema
from offhook.store.commit.committed import Committed
from offhook.store.commit.counting import Counting
from offhook.store.commit.destination_rows import load_destinations
from offhook.store.commit.keys import Keys
from offhook.store.database.prepared import Prepared, Values
from offhook.store.schema import DeliveryStatus

_PENDING = int(DeliveryStatus.PENDING)


class _Statements:
    """For one dialect."""

    def __init__(self, dialect_name: str) -> None:
        module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect_name]
        positions, subjects, targets = schema.customer_positions, schema.subjects, schema.destinations
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
        self.select_destinations = Prepared(
            sa.select(targets.c.key).where(
                targets.c.customer_key == sa.bindparam("for_key"),
                targets.c.activeflow_id == sa.bindparam("for_activeflow"),
                targets.c.uri_key.is_not(None),
            ),
            ("for_key", "for_activeflow"),
            dialect_name,
        )
        self.insert_events = Prepared(
            sa.insert(schema.events),
            ("key", "id", "customer_key", "position", "type", "subject_key", "sequence", "payload", "tm_create"),
            dialect_name,
        )
        self.insert_deliveries = Prepared(
            sa.insert(schema.deliveries),
            (
                *("key", "event_key", "customer_key", "destination_key", "status", "due_at", "tm_create"),
                *("attempt_count", "last_outcome"),
            ),
            dialect_name,
        )


@cache
def _statements(dialect_name: str) -> _Statements:
    return _Statements(dialect_name)


class EventWriting:
    """Writes the events of one group; what it wrote is in `committed`. Lives on the writer's thread."""

    def __init__(
        self, connection: sa.Connection, keys: Keys, committed: Committed, now_us: int, known: Container[int]
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._total = committed
        self._now_us = now_us
        self._known_destinations = known
        self._statements = _statements(connection.dialect.name)

    def write(
        self, cursor: Any, events: Sequence[NewEvent], customer_keys: Mapping[str, int], counting: Counting
    ) -> None:
        """Write them, in this order, and count their deliveries; `customer_keys` has each one's customer."""
        new = [(customer_keys[event.customer_id], event) for event in events]
        positions = self._give_positions(cursor, new)
        subjects = self._give_sequences(cursor, new)
        keys = self._keys.take(self._connection, "events", len(new))
        rows: list[Values] = []
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
                    "tm_create": self._now_us,
                }
            )
            self._total.events.append(
                Event(
                    key=key,
                    id=event.id,
                    customer_id=event.customer_id,
                    type=event.type,
                    subject=event.subject,
                    sequence=sequence,
                    position=position,
                    payload=event.payload,
                    created_us=self._now_us,
                )
            )
        self._statements.insert_events.run_many(cursor, rows)
        self._add_deliveries(cursor, new, counting)

    def _give_positions(self, cursor: Any, new: Sequence[tuple[int, NewEvent]]) -> dict[int, int]:
        """The position before the first new event, per customer."""
        counts = sorted(Counter(customer_key for customer_key, _ in new).items())
        rows = [{"for_key": customer_key, "count": count} for customer_key, count in counts]
        found = self._statements.advance_position.run_returning(cursor, rows)
        return {customer_key: after - count for (customer_key, count), (after,) in zip(counts, found, strict=True)}

    def _give_sequences(self, cursor: Any, new: Sequence[tuple[int, NewEvent]]) -> dict[tuple[int, str], list[int]]:
        """For every subject its key and the sequence before its first new event."""
        counts = sorted(Counter((customer_key, event.subject) for customer_key, event in new if event.subject).items())
        if not counts:
            return {}
        keys = self._keys.take(self._connection, "subjects", len(counts))
        rows = [
            {"key": key, "customer_key": customer_key, "subject": subject, "sequence": count}
            for key, ((customer_key, subject), count) in zip(keys, counts, strict=True)
        ]
        found = self._statements.advance_sequence.run_returning(cursor, rows)
        return {subject: [key, after - count] for (subject, count), (key, after) in zip(counts, found, strict=True)}

    def _add_deliveries(self, cursor: Any, new: Sequence[tuple[int, NewEvent]], counting: Counting) -> None:
        concerned = {(customer_key, "") for customer_key, _ in new}
        concerned |= {(customer_key, event.activeflow_id) for customer_key, event in new if event.activeflow_id}
        targets = self._destinations_of(cursor, concerned)
        wanted = [
            (destination_key, customer_key, event)
            for (customer_key, _), event in zip(new, self._total.events[-len(new) :], strict=True)
            for destination_key in targets.get((customer_key, ""), ())
        ]
        wanted += self._activeflow_deliveries(targets, new)
        if not wanted:
            return
        counts = Counter(destination_key for destination_key, _, _ in wanted)
        for destination_key, count in counts.items():
            counting.created(destination_key, count)
        self._hand_over(cursor, counts)
        keys = self._keys.take(self._connection, "deliveries", len(wanted))
        now_us = self._now_us
        self._statements.insert_deliveries.run_many(
            cursor,
            [
                {
                    "key": key,
                    "event_key": event.key,
                    "customer_key": customer_key,
                    "destination_key": destination_key,
                    "status": _PENDING,
                    "due_at": now_us,
                    "tm_create": now_us,
                    "attempt_count": 0,
                    "last_outcome": "",
                }
                for key, (destination_key, customer_key, event) in zip(keys, wanted, strict=True)
            ],
        )
        self._total.deliveries += [
            Delivery(
                key=key,
                destination_key=destination_key,
                event_id=event.id,
                subject=event.subject,
                sequence=event.sequence,
                position=event.position,
                payload=event.payload,
                family=family_of(event.type),
                created_us=now_us,
                due_us=now_us,
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

    def _destinations_of(self, cursor: Any, concerned: Collection[tuple[int, str]]) -> dict[tuple[int, str], list[int]]:
        """Those of these destinations that are on, by customer and activeflow."""
        owners = sorted(concerned)
        rows = [{"for_key": key, "for_activeflow": activeflow_id} for key, activeflow_id in owners]
        found = self._statements.select_destinations.fetch_each(cursor, rows)
        return {owner: [key for (key,) in some] for owner, some in zip(owners, found, strict=True)}

    def _hand_over(self, cursor: Any, destination_keys: Iterable[int]) -> None:
        """Spare whoever delivers a read for each destination that it meets for the first time."""
        unknown = [key for key in destination_keys if key not in self._known_destinations]
        if unknown:
            found = load_destinations(cursor, self._connection.dialect.name, unknown)
            self._total.destinations.update((destination.key, destination) for destination in found)
