"""One suite, two databases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from offhook.domain.delivery.signature import new_secret
from offhook.domain.ids import new_uuid
from offhook.store.commit.committed import Committed
from offhook.store.commit.transaction import Transaction
from offhook.store.commit.unit import Unit
from offhook.store.database.database import Database, sqlite_url
from offhook.store.queries import customers, destinations
from offhook.store.store import Store
from tests.databases import sqlite_database

URI = "https://hooks.example.com/one"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the schema, and without a row."""
    if request.param == "sqlite":
        return sqlite_database(tmp_path / "offhook.db")
    url: str = request.getfixturevalue("postgres").migrated_database()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database in which there is nothing yet."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "offhook.db")
    url: str = request.getfixturevalue("postgres").new_database()
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store(Database(database_url))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
def commits(store: Store) -> list[Committed]:
    """What the store tells, as it tells it."""
    told: list[Committed] = []
    store.subscribe(told.append)
    return told


async def new_customer(store: Store, uri: str = URI) -> str:
    """A customer, with a webhook unless `uri` is empty."""
    customer_id = new_uuid()

    def change(tx: Transaction) -> None:
        customers.add_customer(tx, customer_id, new_secret(), {})
        if uri:
            destinations.set_webhook(tx, customer_id, uri=uri, method="POST")

    await store.write(change)
    return customer_id


async def in_one_group(store: Store, *changes: Callable[[Transaction], Any] | list[Unit]) -> list[Any]:
    """Run these changes, and apply these units, as one group; what each returned or raised."""
    go_on = threading.Event()
    before = asyncio.ensure_future(store.write(lambda tx: go_on.wait(10)))
    waiting = [
        asyncio.ensure_future(store.apply(change) if isinstance(change, list) else store.write(change))
        for change in changes
    ]
    await asyncio.sleep(0)
    go_on.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    await before
    return outcomes


@pytest.fixture
async def customer(store: Store) -> str:
    return await new_customer(store)


def rows(store: Store, statement: str) -> list[sa.Row[*tuple[Any, ...]]]:
    """A look into the tables, past the queries that are tested."""
    with store.database.reader.begin() as connection:
        return list(connection.exec_driver_sql(statement).all())
