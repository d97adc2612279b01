"""Thousands of destinations: met for the first time, taken up at a start, waiting for room, and forgotten again."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from offhook.delivery import engine as engine_module
from offhook.delivery.log import replay
from offhook.delivery.queue import DestinationQueue
from offhook.domain.delivery.health import Health
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.events.replay import Replay
from offhook.store.commit.change import UnknownEndError
from offhook.store.database.database import Database
from offhook.store.queries import destinations
from offhook.store.store import Store
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until
from tests.delivery.test_races import weather
from tests.postgres import Postgres
from tests.rounds import STORMS

T = TypeVar("T")

SLOW = RetryPolicy(schedule=(timedelta(hours=1),) * 11)


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Node]:
    """A node on either database."""
    url = ""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.migrated_database()
    node = Node(tmp_path, database_url=url)
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine looks all the time for what it can forget."""
    monkeypatch.setattr(engine_module, "_SWEEP_S", 0.01)


def count_reads(node: Node, patch: pytest.MonkeyPatch) -> list[object]:
    """From now on, an entry for every snapshot that is read."""
    reads: list[object] = []
    read = node.store.read

    async def counted(query: Callable[[sa.Connection], T]) -> T:
        reads.append(query)
        return await read(query)

    patch.setattr(node.store, "read", counted)
    return reads


async def queue_count(node: Node, expected: int) -> None:
    await until(lambda: len(list(node.engine._queues)) == expected, f"{expected} destinations are remembered")


async def accepted_count(endpoint: Endpoint, expected: int) -> None:
    await until(lambda: len(endpoint.accepted) == expected, f"{expected} have arrived")


async def test_the_first_event_of_each_of_many_customers_is_sent_without_reading_for_it(
    either: Node, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = [await either.new_customer(endpoint.uri) for _ in range(100)]
    await either.restart()
    reads = count_reads(either, monkeypatch)
    await asyncio.gather(*(either.publish(customer, ["call/a", "call/a"]) for customer in customers))
    await until(lambda: len(endpoint.accepted) == 200, "all of them")
    assert reads == []


async def test_hundreds_of_destinations_with_something_pending_are_read_together_at_a_start(
    either: Node, endpoint: Endpoint
) -> None:
    await either.stop()
    either.use(retry=SLOW)
    await either.start()
    endpoint.answer = lambda request: 500
    customers = [await either.new_customer(endpoint.uri) for _ in range(200)]
    await asyncio.gather(*(either.publish(customer, ["call/a", "call/a"]) for customer in customers))
    await until(lambda: len(endpoint.requests) == 200, "the first of each has failed")
    await either.stop()
    reads: list[object] = []
    read = Store.read

    async def counted(store: Store, query: Callable[[sa.Connection], T]) -> T:
        reads.append(query)
        return await read(store, query)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "read", counted)
        await either.start()
        await until(lambda: not any(queue.behind for queue in either.engine._queues), "all were read")
    assert len(list(either.engine._queues)) == 200
    assert len(reads) <= 30
    # The second of each is still held by the first.
    assert len(endpoint.requests) == 200


async def test_dead_destinations_that_wait_for_room_wake_nobody_until_there_is_some(
    tmp_path: Path, endpoint: Endpoint, other_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, timeout_s=60)
    node.use(max_in_flight=2)
    await node.start()
    gate = asyncio.Event()

    async def slow(request: Request) -> int:
        await gate.wait()
        return 200

    other_endpoint.answer = slow
    busy = await node.new_customer(other_endpoint.uri)
    dead = [await node.new_customer(endpoint.uri) for _ in range(20)]
    for customer in dead:
        await set_failing(node, customer)
    await node.restart()
    await node.publish(busy, ["call/a", "call/b"])
    await until(lambda: len(other_endpoint.requests) == 2, "there is no room any more")
    for customer in dead:
        await node.publish(customer, ["call/a"])
    wakes: list[DestinationQueue] = []
    pump = node.engine._pump

    def counted(queue: DestinationQueue) -> None:
        wakes.append(queue)
        pump(queue)

    monkeypatch.setattr(node.engine, "_pump", counted)
    await asyncio.sleep(0.5)  # in which nothing is to happen
    assert len(wakes) <= 50
    released_s = time.monotonic()
    gate.set()
    await until(lambda: len(endpoint.accepted) == 20, "each got its turn")
    assert all(request.at_s > released_s for request in endpoint.requests)
    await node.stop()


async def test_a_destination_with_nothing_left_is_forgotten_and_met_again_without_a_read(
    node: Node, endpoint: Endpoint, swept: None
) -> None:
    await node.restart()
    customers = [await node.new_customer(endpoint.uri) for _ in range(30)]
    for count in range(1, 4):
        for customer in customers:
            await node.publish(customer, [f"call/{customer}", ""])
        await accepted_count(endpoint, 60 * count)
        await queue_count(node, 0)
    endpoint.check_order()
    assert node.engine.queue_lengths() == (0, 0)


async def test_what_waits_for_a_retry_or_is_probed_is_not_forgotten(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint, swept: None
) -> None:
    await node.stop()
    node.use(order_hold=timedelta(milliseconds=1), retry=RetryPolicy(schedule=(timedelta(seconds=1),) * 60))
    await node.start()
    endpoint.answer = lambda request: 500 if request.attempt == 1 else 200
    other_endpoint.answer = lambda request: 500
    await node.publish(await node.new_customer(endpoint.uri), ["call/a"])
    dead = await node.new_customer(other_endpoint.uri)
    await node.publish(dead, [f"call/{number}" for number in range(12)])
    await until(lambda: endpoint.accepted, "the retry")
    await queue_count(node, 1)
    await until(lambda: len(other_endpoint.requests) >= 14, "it is probed")
    probes = [request.at_s for request in other_endpoint.requests[12:]]
    assert probes[1] - probes[0] > 0.9
    other_endpoint.answer = lambda request: 200
    await node.until_written(30)
    assert len(other_endpoint.accepted) == 12
    await queue_count(node, 0)


async def test_a_held_destination_is_forgotten_and_gets_everything_when_it_is_enabled_again(
    node: Node, endpoint: Endpoint, swept: None
) -> None:
    await node.restart()
    endpoint.answer = lambda request: 410
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"])
    while await node.held_reason(customer) != "gone":
        await asyncio.sleep(0.01)
    await queue_count(node, 0)
    await node.publish(customer, ["call/a", "call/b"])
    assert list(node.engine._queues) == []
    endpoint.answer = lambda request: 200
    await node.store.write(lambda tx: destinations.enable_webhook(tx, customer))
    await node.until_written()
    endpoint.check_order()
    assert len(endpoint.accepted) == 3
    await queue_count(node, 0)
    # What is made due again behind its back is read, too.
    assert await replay(node.store, customer, Replay(after=0, only="all")) == 3
    await until(lambda: len(endpoint.accepted) == 6, "the replayed ones")


@pytest.mark.parametrize("seed", STORMS[1:])
@pytest.mark.parametrize("kind", ["plain", "erasing", "repeating"])
async def test_whatever_happens_everything_arrives_in_order_while_queues_are_forgotten_all_the_time(
    tmp_path: Path, endpoint: Endpoint, other_endpoint: Endpoint, seed: int, kind: str, swept: None
) -> None:
    await weather(Node(tmp_path), [endpoint, other_endpoint], random.Random(f"{kind}{seed}"), kind)


async def test_what_another_wrote_while_a_commit_was_not_answered_is_delivered(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell then what was committed: here another store on the same file writes."""
    unmet, moved = await node.new_customer(endpoint.uri), await node.new_customer(endpoint.uri)
    await node.restart()
    await node.publish(moved, ["call/a"])
    await until(lambda: endpoint.accepted, "the one that is known")
    silent = Store(Database(node.database_url))
    await silent.start()
    event = NewEvent(unmet, "call_updated", "call/a", envelope("call_updated", b'{"n":1}'))
    await silent.write(lambda tx: tx.add_event(event))
    await silent.write(lambda tx: destinations.set_webhook(tx, moved, uri=other_endpoint.uri, method="POST"))
    await silent.stop()

    def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    writer = node.store.database.writer
    monkeypatch.setattr(writer.dialect, "do_commit", fail)
    # Once the store connects anew, to ask what was committed, all is well again.
    sa.event.listen(writer, "do_connect", lambda *_: monkeypatch.undo(), once=True)
    with pytest.raises(UnknownEndError):
        await node.publish(moved, ["call/a"])
    await node.publish(unmet, ["call/a"])
    await node.publish(moved, ["call/a"])
    await node.until_written()
    assert [request.sequence for request in endpoint.accepted] == [1, 1, 2]
    assert [request.sequence for request in other_endpoint.accepted] == [2]


async def set_failing(node: Node, customer: str) -> None:
    """The database remembers a run of failures."""
    webhook = await node.store.read(lambda connection: destinations.webhook_of(connection, customer))
    await node.store.write(lambda tx: destinations.set_health(tx, webhook.key, Health(10, 1), uri_key=webhook.uri_key))
