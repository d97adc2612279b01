"""One suite, two databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from offhook.domain.ids import new_uuid
from offhook.domain.signature import new_secret
from offhook.store import customers, destinations
from offhook.store.database import Database, sqlite_url
from offhook.store.store import Store
from offhook.store.transaction import Committed

URI = "https://hooks.example.com/one"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
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

    def change(tx: object) -> None:
        customers.add_customer(tx, customer_id, new_secret(), {})  # type: ignore[arg-type]
        if uri:
            destinations.set_webhook(tx, customer_id, uri=uri, method="POST")  # type: ignore[arg-type]

    await store.write(change)
    return customer_id


@pytest.fixture
async def customer(store: Store) -> str:
    return await new_customer(store)


def rows(store: Store, statement: str) -> list[sa.Row[object]]:
    """A look into the tables, past the queries that are tested."""
    with store.database.reader.begin() as connection:
        return list(connection.exec_driver_sql(statement).all())
