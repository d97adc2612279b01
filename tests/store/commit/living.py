"""What lives, on a real store: test nouns with tables of their own, and the core's machines on a database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from offhook.domain.delivery.signature import new_secret
from offhook.domain.noun import Nouns
from offhook.domain.step import Tell
from offhook.store.commit.committed import Committed
from offhook.store.commit.port import Row, Unreadable, Write
from offhook.store.commit.transaction import Transaction
from offhook.store.commit.unit import Result, Unit
from offhook.store.database.database import Database
from offhook.store.noun_tables import noun_table
from offhook.store.queries import customers
from offhook.store.store import Store
from tests.core.machine import START, Key, Machine

T = TypeVar("T")


async def open_store(database: Database, nouns: Nouns, command_type: Any, *customer_ids: str) -> Store:
    """A store in which these nouns live, with these customers."""
    store = Store(database, nouns, command_type)
    await store.start()
    await store.write(lambda tx: make_tables(tx.connection, nouns))
    for customer_id in customer_ids:
        await store.write(partial(customers.add_customer, customer_id=customer_id, secret=new_secret(), profile={}))
    return store


def make_tables(connection: sa.Connection, nouns: Nouns) -> None:
    """The tables of nouns that no migration makes; one of that name that is there is another thing's, and goes."""
    for kind in nouns.keys() - {"call", "activeflow"}:
        table = noun_table(kind, sa.MetaData())
        table.drop(connection, checkfirst=True)
        table.create(connection)


def unit(*tells: Tell, is_asked: bool = False, customer_id: str = "") -> Unit:
    return Unit(tells, START, is_asked, customer_id)


class Running:
    """A store whose loop runs in a thread, so that code that knows no loop can use it."""

    def __init__(self, database: Database, nouns: Nouns, command_type: Any, *customer_ids: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.told: list[Committed] = []
        self.store = self.run(open_store(database, nouns, command_type, *customer_ids))
        self.store.subscribe(self.told.append)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.run(self.store.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def running(url: str, nouns: Nouns, command_type: Any, *customer_ids: str) -> Iterator[Running]:
    """A store in a thread, for as long as the block lasts."""
    opened = Running(Database(url), nouns, command_type, *customer_ids)
    try:
        yield opened
    finally:
        opened.close()


class StoredRows:
    """What tests look at beside the machine."""

    def __init__(self, opened: Running) -> None:
        self._opened = opened

    @property
    def open(self) -> set[Key]:
        store = self._opened.store
        return {(row.kind, row.id) for row in self._opened.run(store.read(store.tables.open))}

    @property
    def kept(self) -> list[Key]:
        def look(connection: sa.Connection) -> list[Key]:
            return [
                (kind, row_id)
                for kind, rows in self._opened.store.tables.of.items()
                for row_id in connection.execute(sa.select(rows.table.c.id)).scalars()
            ]

        return self._opened.run(self._opened.store.read(look))

    def get(self, kind: str, row_id: str) -> Row | Unreadable | None:
        def look(connection: sa.Connection) -> Row | None:
            rows = self._opened.store.tables.of[kind]
            found = connection.execute(rows.select().where(rows.table.c.id == row_id)).first()
            return None if found is None else rows.row(found)

        return self._opened.run(self._opened.store.read(look))


class OnStore(Machine):
    """A machine whose rows are a store's. Every one begins with none."""

    def __init__(self, opened: Running, *given: Any, **more: Any) -> None:
        self._opened = opened
        opened.run(opened.store.write(self._empty))
        super().__init__(*given, **more)

    @property
    def rows(self) -> Any:
        return StoredRows(self._opened)

    @rows.setter
    def rows(self, rows: object) -> None:
        """Those in memory are not needed."""

    def group(self, *units: Unit) -> list[Result]:
        del self._opened.told[:]
        results = self._opened.run(self._opened.store.apply(units))
        (committed,) = self._opened.told
        for event in committed.events:
            self.events.append((event.type, event.subject, msgspec.json.decode(event.payload)["data"]))
        for write in committed.changes:
            self._check(write)
        self.orders += committed.orders
        self.results += results
        return results

    def _check(self, write: Write) -> None:
        """What was told is what was written."""

        def look(connection: sa.Connection) -> Any:
            rows = self._opened.store.tables.of[write.row.kind]
            found = connection.execute(sa.select(rows.table).where(rows.table.c.id == write.row.id)).one()
            places = connection.execute(
                sa.text("SELECT name, key, rank FROM places WHERE kind = :kind AND id = :id"),
                {"kind": write.row.kind, "id": write.row.id},
            ).all()
            return found, {tuple(place) for place in places}

        found, places = self._opened.run(self._opened.store.read(look))
        assert (found.version, found.is_open, found.is_final) == (write.row.version + 1, write.is_open, write.is_final)
        assert self._opened.store.tables.of[write.row.kind].decode(found.document) == write.row.document
        assert (found.due_at is None) == (write.row.due_at is None)
        assert places == set(write.entries)

    def _empty(self, tx: Transaction) -> None:
        for table in (*(rows.table for rows in self._opened.store.tables.of.values()), sa.table("places")):
            tx.connection.execute(sa.delete(table))
