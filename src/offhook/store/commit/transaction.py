"""What a change may do inside the group's transaction.

Many changes share one transaction, and one that fails must cost its neighbours nothing. So a change reads, decides (it
may raise), and adds what it writes. Its statements (`add_write`) run when it has returned, or before it reads again:
then behind a savepoint, as it may still fail. Its events and attempt records go to lists that are written together, a
few statements for the whole group, just before the commit (`store.commit.events`, `store.commit.records`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.delivery.delivery import AttemptRecord
from offhook.domain.errors import NotFoundError
from offhook.domain.events.event import NewEvent
from offhook.domain.ids import new_event_id
from offhook.store.commit.committed import Committed
from offhook.store.commit.counting import Counting, PresentMinute
from offhook.store.commit.events import EventWriting
from offhook.store.commit.keys import Keys
from offhook.store.commit.records import write_records
from offhook.store.database.prepared import Prepared, driver_cursor
from offhook.store.schema import customers


@cache
def _select_customer(dialect_name: str) -> Prepared:
    statement = sa.select(customers.c.key).where(customers.c.id == sa.bindparam("of_id"))
    return Prepared(statement, ("of_id",), dialect_name)


class Transaction:
    """One group-commit transaction, as its changes see it. Lives on the writer's thread."""

    def __init__(
        self,
        connection: sa.Connection,
        keys: Keys,
        minute: PresentMinute,
        customer_keys: Mapping[str, int],
        committed: Committed,
        now_us: int,
        known_destinations: Container[int] = (),
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._minute = minute
        self._customer_keys = customer_keys
        self._total = committed
        self.now_us = now_us
        self.has_written = False
        self.learned: dict[str, int] = {}
        """Customers' keys, by id, that are known for good once this is committed."""
        self._events: list[NewEvent] = []
        self._records: list[AttemptRecord] = []
        self._counted: list[tuple[int, int, int]] = []
        self._places: dict[tuple[str, str], int] = {}
        self._own: Committed | None = None
        self._writes: list[tuple[sa.Executable, Any]] = []
        self._mark = (0, 0, 0)
        self._savepoint: dict[str, tuple[int, int]] | None = None
        self._event_writing = EventWriting(connection, keys, committed, now_us, known_destinations)

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

    def count(self, destination_key: int, *, created: int = 0, cancelled: int = 0) -> None:
        """Say how many of a destination's deliveries this change creates or cancels by statements of its own."""
        self._counted.append((destination_key, created, cancelled))

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
        statement = _select_customer(self._connection.dialect.name)
        found = statement.fetch_each(cursor, [{"of_id": customer_id} for customer_id in customer_ids])
        for customer_id, rows in zip(customer_ids, found, strict=True):
            if not rows:
                raise NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND")
            self.learned[customer_id] = rows[0][0]

    def knows_customer(self, customer_id: str) -> bool:
        """Whether there is, or ever was, such a customer."""
        if customer_id in self._customer_keys or customer_id in self.learned:
            return True
        with suppress(NotFoundError):
            self._learn_customers(driver_cursor(self.reader), [customer_id])
        return customer_id in self.learned

    def learn_customer(self, customer_id: str, key: int) -> None:
        """This change makes a customer with this key."""
        self.learned[customer_id] = key

    def begin_change(self) -> None:
        """What is added from here on is one change's: `keep` it or `undo` it."""
        self._mark = len(self._events), len(self._records), len(self._counted)

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
        del self._counted[self._mark[2] :]
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
        """Write the group's events, deliveries and attempt records, and what is counted of them."""
        if not (self._events or self._records or self._counted):
            return
        self.has_written = self.has_written or bool(self._events or self._records)
        cursor, dialect_name = driver_cursor(self._connection), self._connection.dialect.name
        counting = Counting(self._minute)
        for destination_key, created, cancelled in self._counted:
            counting.created(destination_key, created)
            counting.cancelled(destination_key, cancelled)
        self._counted.clear()
        if self._events:
            events, self._events = self._events, []
            customer_keys = self._keys_of(cursor, {event.customer_id for event in events})
            self._event_writing.write(cursor, events, customer_keys, counting)
        if self._records:
            records, self._records = self._records, []
            self._total.rewound |= write_records(cursor, dialect_name, records, counting)
        counting.write(cursor, dialect_name, self.now_us)

    def _keys_of(self, cursor: Any, customer_ids: Iterable[str]) -> dict[str, int]:
        known, learned = self._customer_keys, self.learned
        unknown = [one for one in customer_ids if one not in known and one not in learned]
        if unknown:
            self._learn_customers(cursor, sorted(unknown))
        return {one: known.get(one) or learned[one] for one in customer_ids}
