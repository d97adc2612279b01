"""The units of one group, decided inside its transaction, and how what they changed joins what the group writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
import structlog

from offhook.store.commit.committed import Committed
from offhook.store.commit.destination_rows import add_own_webhook
from offhook.store.commit.flush import Entries, is_stale, write_rows
from offhook.store.commit.keys import Keys
from offhook.store.commit.port import Row, Write
from offhook.store.commit.rows import GroupRows, Tables
from offhook.store.commit.transaction import Transaction
from offhook.store.commit.unit import Fault, Group, Result, Unit, places_of
from offhook.store.database.database import is_unavailable

log = structlog.get_logger()


class Deciding:
    """For one run of one group. Lives on the writer's thread."""

    def __init__(
        self, connection: sa.Connection, transaction: Transaction, keys: Keys, committed: Committed, tables: Tables
    ) -> None:
        self._connection = connection
        self._transaction = transaction
        self._keys = keys
        self._committed = committed
        self._tables = tables
        self.has_written = False
        self._begin()

    def run(self, units: Sequence[Unit]) -> list[Result]:
        """Decide these. Raises what the database raises; then the whole group has failed."""
        told = {(tell.kind, tell.id) for unit in units for tell in unit.tells}
        self._rows.prefetch(told - self._group.read.keys() - self._group.changed.keys())
        return [self._run(unit) for unit in units]

    def run_apart(self, units: Iterable[Unit]) -> list[Result]:
        """Decide these, and write each at once behind a savepoint: one that cannot be written costs only itself.

        Slow: for a group that failed, and nobody knows of which.
        """
        results = [self._run_apart(unit) for unit in units]
        # A row that several of them changed was written by each.
        last = {(write.row.kind, write.row.id): write for write in self._committed.changes}
        self._committed.changes = list(last.values())
        return results

    def flush(self) -> None:
        """Write the rows that have changed. Raises StaleError, and what the database raises."""
        writes = self._group.writes()
        if writes:
            self.has_written = True
            write_rows(self._connection, self._keys, writes, self._entries_before)
            self._add_webhooks(writes)
        self._committed.changes += writes
        self._committed.orders += self._group.orders

    def _run(self, unit: Unit) -> Result:
        before = len(self._group.events)
        result = self._group.run(unit)
        for event in self._group.events[before:]:
            self._transaction.add_event(event)
        return result

    def _run_apart(self, unit: Unit) -> Result:
        mark, forget = self._keys.mark(), _remembering(self._committed)
        self._connection.exec_driver_sql("SAVEPOINT unit")
        self._transaction.begin_change()
        self._begin()
        try:
            result = self._run(unit)
            self.flush()
            self._transaction.flush()
        except Exception as error:
            if is_stale(error) or is_unavailable(error):
                raise
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
            self._keys.restore(mark)
            self._transaction.undo()
            forget()
            result = Result(False, faults=(_fault(unit, error),))
        self._connection.exec_driver_sql("RELEASE SAVEPOINT unit")
        self._begin()
        return result

    def _begin(self) -> None:
        self._rows = GroupRows(self._connection, self._transaction, self._tables)
        self._group = Group(self._rows, self._tables.nouns)

    def _add_webhooks(self, writes: Iterable[Write]) -> None:
        """Before the events are written, which go to them too."""
        for write in writes:
            if write.webhook is not None:
                customer_key = self._transaction.customer_key(write.row.customer_id)
                add_own_webhook(self._connection, self._keys, customer_key, write.webhook)

    def _entries_before(self, write: Write) -> Entries | None:
        """The places that the row had in indexes; None if that cannot be told."""
        noun, row = self._tables.nouns[write.row.kind], self._group.read.get((write.row.kind, write.row.id))
        if not noun.indexes or not isinstance(row, Row):
            return ()
        try:
            return places_of(noun, row.document.state)
        except Exception:
            # A rule that has become another one since.
            return None


def _remembering(committed: Committed) -> Callable[[], None]:
    """What takes back all that is added to lists of `committed` from now on."""
    lists: Sequence[list[object]] = [committed.events, committed.deliveries, committed.changes, committed.orders]  # type: ignore[list-item]
    lengths = [len(one) for one in lists]

    def forget() -> None:
        for one, length in zip(lists, lengths, strict=True):
            del one[length:]

    return forget


def _fault(unit: Unit, error: Exception) -> Fault:
    tell = unit.tells[0]
    return Fault(tell.kind, tell.id, type(tell.input).__name__, error)
