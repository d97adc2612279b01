"""A COMMIT whose answer is lost: nothing is doubled, nothing overtaken, and nobody is told what is not true."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from offhook.domain.errors import UnavailableError
from offhook.domain.events.event import NewEvent
from offhook.domain.noun import registry
from offhook.store.commit.change import UnknownEndError
from offhook.store.commit.committed import Committed
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database, sqlite_url
from offhook.store.store import Store
from tests.core.notes import CUSTOMER, NOTE, Knock, Make, to, writes
from tests.delivery.node import until
from tests.faults.wire import AnswerLosingWire
from tests.postgres import Postgres
from tests.store.commit.living import open_store, unit
from tests.store.conftest import new_customer, rows

LOCK = 0x0FF4008
EVENTS = "SELECT id, subject_key, sequence, payload FROM events ORDER BY position"


class Losing:
    """A store that can be made to lose the answer to every third COMMIT, and what it told."""

    def __init__(self, store: Store, lose: Callable[[bool], None], lost_count: Callable[[], int]) -> None:
        self.store = store
        self.lose = lose
        self.lost_count = lost_count
        self.told: list[Committed] = []
        store.subscribe(self.told.append)


async def started(database: Database) -> Store:
    store = Store(database)
    await store.start()
    return store


Opening = Callable[[Database], Awaitable[Store]]


Lossy = Callable[..., AbstractAsyncContextManager[Losing]]
"""Makes a store that loses answers, `carried_out` or not."""


@asynccontextmanager
async def losing_on_sqlite(tmp_path: Path, *, carried_out: bool, opening: Opening = started) -> AsyncIterator[Losing]:
    database = Database(sqlite_url(tmp_path / "a.db"), regain_time=timedelta(seconds=1))
    dialect = database.writer.dialect
    commit, state = dialect.do_commit, {"losing": False, "count": 0, "lost": 0}

    def lossy(connection: sa.PoolProxiedConnection) -> None:
        state["count"] += state["losing"]
        is_lost = state["losing"] and state["count"] % 3 == 0
        if carried_out or not is_lost:
            commit(connection)
        if is_lost:
            state["lost"] += 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialect, "do_commit", lossy)
        store = await opening(database)
        yield Losing(store, lambda losing: state.update(losing=losing), lambda: state["lost"])
        state["losing"] = False
        await store.stop()


@asynccontextmanager
async def losing_on_postgresql(
    postgres: Postgres, *, carried_out: bool, opening: Opening = started
) -> AsyncIterator[Losing]:
    wire = AnswerLosingWire(postgres.port, carried_out=carried_out)
    url = postgres.new_database().replace(f":{postgres.port}/", f":{wire.port}/")
    store = await opening(Database(url, regain_time=timedelta(seconds=20)))

    def lose(losing: bool) -> None:
        wire.losing = losing

    yield Losing(store, lose, lambda: wire.lost_count)
    wire.losing = False
    await store.stop()
    wire.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def on(request: pytest.FixtureRequest, tmp_path: Path) -> Lossy:
    if request.param == "sqlite":
        return partial(losing_on_sqlite, tmp_path)
    postgres = request.getfixturevalue("postgres")
    return partial(losing_on_postgresql, postgres)


async def publish_all(store: Store, customer: str, worker: int, count: int) -> list[str]:
    """Events of one subject, one after another; what was refused is published again, under another id."""
    ids: list[str] = []
    while len(ids) < count:
        event = NewEvent(customer, "a", f"a/{worker}", b"%d" % len(ids))
        try:
            ids.append(await store.write(partial(Transaction.add_event, event=event)))
        except UnknownEndError:
            raise
        except UnavailableError:
            await asyncio.sleep(0.02)
    return ids


@pytest.mark.parametrize("carried_out", [True, False])
async def test_no_event_is_there_twice_none_is_overtaken_and_all_are_delivered(on: Lossy, carried_out: bool) -> None:
    async with on(carried_out=carried_out) as losing:
        store = losing.store
        customer = await new_customer(store)
        losing.lose(True)
        answered = await asyncio.gather(*(publish_all(store, customer, worker, 16) for worker in range(20)))
        losing.lose(False)
        assert losing.lost_count() >= 3
        found = rows(store, EVENTS)
        by_subject: dict[int, list[sa.Row[*tuple[Any, ...]]]] = {}
        for row in found:
            by_subject.setdefault(row.subject_key, []).append(row)
        assert sorted([row.id for row in some] for some in by_subject.values()) == sorted(answered)
        for some in by_subject.values():
            assert [int(bytes(row.payload)) for row in some] == list(range(16))
        told = [event.id for commit in losing.told for event in commit.events]
        assert told == [row.id for row in found]
        assert [key for (key,) in rows(store, "SELECT key FROM deliveries ORDER BY key")] == sorted(
            delivery.key for commit in losing.told for delivery in commit.deliveries
        )


async def apply_all(store: Store, worker: int, count: int) -> None:
    """Inputs for one row, one after another, each with an event and a command; what was refused is told again."""
    done = 0
    while done < count:
        knock = Knock(id=f"{worker}/{done}")
        try:
            (result,) = await store.apply([unit(to(f"n{worker}", writes(".", commands=(knock,))))])
        except UnknownEndError:
            raise
        except UnavailableError:
            await asyncio.sleep(0.02)
        else:
            done += 1
            assert len(result.states[0].text) == done


@pytest.mark.parametrize("carried_out", [True, False])
async def test_units_are_done_once_and_every_command_is_told_exactly_once(on: Lossy, carried_out: bool) -> None:
    async def opening(database: Database) -> Store:
        return await open_store(database, registry(NOTE), Knock, CUSTOMER)

    async with on(carried_out=carried_out, opening=opening) as losing:
        store = losing.store
        await store.apply([unit(to(f"n{worker}", Make())) for worker in range(20)])
        losing.lose(True)
        await asyncio.gather(*(apply_all(store, worker, 16) for worker in range(20)))
        losing.lose(False)
        assert losing.lost_count() >= 3
        kept = await store.read(store.tables.open)
        assert {len(row.document.state.text) for row in kept} == {16}
        orders = [order for commit in losing.told for order in commit.orders]
        assert sorted(order.pending.command.id for order in orders) == sorted(
            f"{worker}/{number}" for worker in range(20) for number in range(16)
        )
        numbers = [order.pending.number for order in orders]
        assert numbers == sorted(set(numbers))
        assert sorted(one.number for row in kept for one in row.document.pending) == numbers
        told = [event.id for commit in losing.told for event in commit.events]
        assert told == [row.id for row in rows(store, EVENTS)]
        assert len(told) == 320
        versions = {row.id: row.version for row in kept}
        changes = [write for commit in losing.told for write in commit.changes]
        assert versions == {write.row.id: write.row.version + 1 for write in changes}


async def test_whoever_waited_gets_the_result_of_what_was_committed(on: Lossy) -> None:
    async with on(carried_out=True) as losing:
        customer = await new_customer(losing.store)
        runs: list[int] = []

        def change(tx: Transaction) -> str:
            runs.append(1)
            return tx.add_event(NewEvent(customer, "a", "a/1", b"1"))

        losing.lose(True)
        ids: list[str] = []
        while len(ids) < 3:
            ids.append(await losing.store.write(change))
        losing.lose(False)
        assert losing.lost_count() == 1
        assert len(runs) == 3
        assert [row[0] for row in rows(losing.store, EVENTS)] == ids


@contextmanager
def unreachable(store: Store) -> Iterator[None]:
    """No new connection can be made for writing."""

    def refuse(*_: Any) -> Any:
        raise sqlite3.OperationalError("unable to open database file")

    sa.event.listen(store.database.writer, "do_connect", refuse)
    yield
    sa.event.remove(store.database.writer, "do_connect", refuse)


async def refused(store: Store, customer: str) -> UnavailableError:
    while True:
        try:
            await store.write(lambda tx: tx.add_event(NewEvent(customer, "a", "a/1", b"1")))
        except UnavailableError as error:
            return error


async def test_what_cannot_be_found_out_is_called_unknown_on_sqlite(tmp_path: Path) -> None:
    async with losing_on_sqlite(tmp_path, carried_out=True) as losing:
        customer = await new_customer(losing.store)
        with unreachable(losing.store):
            losing.lose(True)
            error = await refused(losing.store, customer)
            assert isinstance(error, UnknownEndError)
            assert "not known" in error.message
            with pytest.raises(UnavailableError, match="has been away"):
                await losing.store.run()


@pytest.mark.parametrize("stays", [True, False])
async def test_what_another_node_came_in_between_is_called_unknown(postgres: Postgres, stays: bool) -> None:
    async with losing_on_postgresql(postgres, carried_out=True) as losing:
        store, customer = losing.store, await new_customer(losing.store)
        url = postgres.url(store.database.url.database or "")
        with psycopg.connect(url, autocommit=True, application_name="another") as another:
            server = another.pgconn
            # Whoever waits for the lock has it the moment it is free.
            server.send_query(f"SELECT pg_advisory_lock({LOCK})".encode())
            losing.lose(True)
            waiting = asyncio.ensure_future(refused(store, customer))
            while server.is_busy():
                server.consume_input()
                await asyncio.sleep(0.01)
            while server.get_result() is not None:
                pass
            another.execute("UPDATE last_group SET number = 5")
            if not stays:
                another.close()
            error = await waiting
        assert isinstance(error, UnknownEndError)
        if stays:
            with pytest.raises(UnavailableError, match="Another Offhook"):
                await store.run()
        else:
            losing.lose(False)
            await until(lambda: not store.is_away, "it goes on")
            await publish_all(store, customer, 1, 1)
