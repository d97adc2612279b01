"""Durability, the one owner of a database, and upgrades from the first version on."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import alembic.command
import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from offhook.domain.errors import MisconfiguredError, UnavailableError
from offhook.store import schema
from offhook.store.commit.committed import Committed
from offhook.store.database.database import Database, _alembic_config, sqlite_url
from offhook.store.queries.backlog import START, load_due
from offhook.store.queries.deliveries import list_deliveries
from offhook.store.queries.destinations import webhook_of
from offhook.store.queries.events import list_events
from offhook.store.store import Store
from offhook.telephony.nouns import COMMAND_TYPE, NOUNS
from tests.delivery.node import until
from tests.postgres import Postgres
from tests.store.commit.test_group_commit import publish
from tests.store.conftest import new_customer, rows

FIRST_VERSION = Path(__file__).parents[1] / "fixtures" / "first_version.sql"
FIRST_CALL = Path(__file__).parents[1] / "fixtures" / "call_before_0005.json"
FIRST_PUBLISHED = 1_795_465_732_512_588
FIRST_CUSTOMER = "5f0b1c7e-52a3-4a0e-8a35-4b9d3d7f9a02"
FIRST_CALL_ID = "8a1e7d54-4a0f-4a55-8a39-3f4d2c9f10aa"

LEFT_BEHIND = """
INSERT INTO customers (key, id, name, detail, email, phone_number, address, status, rtp_debug, webhook_secret,
    old_webhook_secret, tm_create) VALUES (1, 'c', '', '', '', '', '', 'active', false, 's', '', 1);
INSERT INTO destinations (key, customer_key, activeflow_id, uri_key, method, held_reason) VALUES (1, 1, '', 2, '', '');
INSERT INTO uris (key, destination_key, uri) VALUES (1, 1, 'https://old'), (2, 1, 'https://new');
INSERT INTO subjects (key, customer_key, subject, sequence) VALUES (1, 1, 'call/kept', 1), (2, 1, 'order/silent', 9);
INSERT INTO events (key, id, customer_key, position, type, subject_key, sequence, payload, tm_create)
    VALUES (1, 'e', 1, 1, 'call_hungup', 1, 1, '', 1);
INSERT INTO calls (key, id, customer_id, is_open, channel_id, document, tm_create) VALUES
    (1, 'kept', 'c', false, '', '', 1), (2, 'live', 'c', true, '', '', 1), (3, 'left', 'c', false, '', '', 1)
"""

WRITER = """
import asyncio, sys
from pathlib import Path
from offhook.domain.events.event import NewEvent
from offhook.store.database.database import Database
from offhook.store.store import Store
from offhook.store.commit.committed import Committed
from tests.delivery.node import until

async def main(url, customer):
    store = Store(Database(url))
    await store.start()
    async def go_on():
        while True:
            print(await store.write(lambda tx: tx.add_event(NewEvent(customer, "a", "a/1", b"{}"))), flush=True)
    await asyncio.gather(*(go_on() for _ in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    store = Store(Database(sqlite_url(tmp_path / "a.db")))
    await store.start()
    with store.database.writer.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    await store.stop()


async def test_what_was_answered_survives_kill_9(database_url: str) -> None:
    store = Store(Database(database_url))
    await store.start()
    customer = await new_customer(store)
    await store.stop()
    answered: list[str] = []
    for count in (3, 40, 150):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, database_url, customer], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        answered += [writer.stdout.readline().strip() for _ in range(count)]
        writer.kill()
        answered += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait(10)
    again = Store(Database(database_url))
    await again.start()
    kept: list[str] = []
    positions: list[int] = []
    cursor = 0
    while True:
        found, after = await again.read(partial(list_events, customer_id=customer, after=cursor))
        kept += [event.id for event in found]
        positions += [event.position for event in found]
        if after == cursor:
            break
        cursor = after
    assert set(answered) <= set(kept)
    assert positions == list(range(1, len(kept) + 1))
    await again.stop()


async def test_migrations_make_exactly_the_schema(empty_url: str) -> None:
    store = Store(Database(empty_url))
    await store.start()
    with store.database.reader.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    await store.stop()
    assert difference == []


async def test_a_file_of_the_first_version_is_upgraded_with_all_that_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as old:
        old.executescript(FIRST_VERSION.read_text())
        document = FIRST_CALL.read_bytes().replace(b"0b7a4a3e-6f0e-4d55-9f43-0c0f5c1f2a10", FIRST_CALL_ID.encode())
        call = (1, FIRST_CALL_ID, FIRST_CUSTOMER, True, "1772442000.1", document, 1_772_442_000_000_000, None)
        old.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?)", call)
    store = Store(Database(sqlite_url(file)), NOUNS, COMMAND_TYPE)
    await store.start()
    found, _ = await store.read(lambda connection: list_events(connection, FIRST_CUSTOMER, after=0))
    assert [event.type for event in found] == ["call_created", "call_hungup"]
    listed, _ = await store.read(lambda connection: list_deliveries(connection, FIRST_CUSTOMER))
    assert [row.status for row in listed] == ["pending", "succeeded"]
    (opened,) = await store.read(store.tables.open)
    state = opened.document.state
    assert (state.call.id, state.call.status, state.channel_id) == (FIRST_CALL_ID, "progressing", "1772442000.1")
    # Nothing was counted then, but what is pending.
    totals = "SELECT pending, last_created_at, counted_since IS NOT NULL FROM destination_totals"
    assert rows(store, totals) == [(1, FIRST_PUBLISHED, True)]
    await publish(store, FIRST_CUSTOMER)
    assert rows(store, totals)[0][0] == 2
    with store.database.writer.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    await store.stop()


async def test_what_the_first_version_left_behind_is_forgotten_after_the_upgrade(empty_url: str) -> None:
    database = Database(empty_url)
    with database.writer.begin() as connection:
        alembic.command.upgrade(_alembic_config(connection), "0001")
        for statement in LEFT_BEHIND.split(";"):
            connection.execute(sa.text(statement))
    database.close()
    store = Store(Database(empty_url))
    await store.start()
    assert [row[0] for row in rows(store, "SELECT id FROM calls ORDER BY id")] == ["kept", "live"]
    assert rows(store, "SELECT key FROM uris WHERE tm_replaced IS NOT NULL") == [(1,)]
    assert rows(store, "SELECT subject FROM subjects WHERE forget_at IS NOT NULL") == [("order/silent",)]
    (name,) = rows(store, "SELECT version_num FROM alembic_version")[0]
    assert name == "0010"
    await store.stop()


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()
    with database.writer.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MisconfiguredError, match="newer Offhook"):
        database.migrate()
    database.close()


async def test_a_migration_that_fails_leaves_the_old_version(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(empty_url)
    upgrade = alembic.command.upgrade

    def break_off(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(alembic.command, "upgrade", break_off)
        with pytest.raises(KeyboardInterrupt):
            database.migrate()
    with database.writer.connect() as connection:
        assert not sa.inspect(connection).has_table("events")
    database.migrate()
    with database.writer.begin() as connection:
        assert sa.inspect(connection).has_table("events")
        alembic.command.check(_alembic_config(connection))
    database.close()


async def test_a_second_node_on_one_postgresql_is_refused(postgres: Postgres) -> None:
    url = postgres.new_database()
    first = Store(Database(url))
    await first.start()
    second = Store(Database(url))
    with pytest.raises(MisconfiguredError, match="Another Offhook"):
        await second.start()
    await first.stop()
    third = Store(Database(url))
    await third.start()
    await third.stop()


async def test_a_node_stopped_between_two_statements_sent_together_is_replaced(postgres: Postgres) -> None:
    url = postgres.new_database()
    other = Database(url)
    other.migrate()
    held = other.writer.raw_connection()
    assert isinstance(held.driver_connection, psycopg.Connection)
    stopped = held.driver_connection.pgconn
    stopped.enter_pipeline_mode()
    # The first two of a transaction, and then no more: none of the server's limits is for that.
    for statement in (b"BEGIN", b"SELECT 1"):
        stopped.send_query_params(statement, [])
    stopped.send_flush_request()
    stopped.flush()

    another = Database(url, answer_time=timedelta(seconds=0.5))
    with pytest.raises(MisconfiguredError, match="Another Offhook runs on this database"):
        another.migrate()
    await asyncio.sleep(6)
    another.migrate()
    held.invalidate()
    another.close()
    other.close()


async def test_a_server_that_does_not_let_go_of_a_node_is_not_waited_for_without_end(postgres: Postgres) -> None:
    url = postgres.new_database()
    other = Database(url)
    other.migrate()
    held = other.writer.raw_connection()
    assert isinstance(held.driver_connection, psycopg.Connection)
    backend = held.driver_connection.info.backend_pid
    another = Database(url, answer_time=timedelta(seconds=0.5))
    await asyncio.sleep(6)
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(sa.exc.OperationalError, match="does not let go"):
            await asyncio.to_thread(another.migrate)
    finally:
        os.kill(backend, signal.SIGCONT)
        held.invalidate()
        another.close()
        other.close()


async def test_a_full_disk_refuses_and_keeps_nothing_half_done(tmp_path: Path) -> None:
    store = Store(Database(sqlite_url(tmp_path / "a.db")))
    await store.start()
    customer = await new_customer(store)
    await publish(store, customer, 3)
    pages = (await store.write(lambda tx: tx.reader.exec_driver_sql("PRAGMA page_count").scalar())) or 0
    await store.write(lambda tx: tx.reader.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar())

    async def fill() -> None:
        for _ in range(50):
            await publish(store, customer, 200)

    with pytest.raises(UnavailableError):
        await fill()
    full, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    await store.write(lambda tx: tx.reader.exec_driver_sql("PRAGMA max_page_count = 1000000").scalar())
    await publish(store, customer)
    pending = await store.read(
        lambda c: load_due(c, webhook_of(c, customer).key, after=START, until_us=2**60, limit=100_000)
    )
    positions = [delivery.position for delivery in pending]
    assert positions == list(range(1, len(positions) + 1))
    assert len(full) <= len(positions)
    await store.stop()


async def test_postgresql_going_away_and_coming_back(postgres: Postgres) -> None:
    store = Store(Database(postgres.new_database()))
    told: list[Committed] = []
    store.subscribe(told.append)
    await store.start()
    customer = await new_customer(store)
    postgres.stop()
    try:
        with pytest.raises(UnavailableError):
            await publish(store, customer)
        assert store.is_away
        for refused in (publish(store, customer), store.read(lambda connection: 1)):
            with pytest.raises(UnavailableError):
                await refused
        before = len(told)
    finally:
        postgres.start()
    await until(lambda: not store.is_away, "the store is back")
    assert [commit.everything for commit in told[before:]] == [True]
    await publish(store, customer)
    found, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    assert [event.position for event in found] == [1]
    await store.stop()
