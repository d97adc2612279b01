"""Stops, starts, and a database that cannot be written for a while."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from offhook.delivery import recorder
from offhook.domain.delivery.retry import RetryPolicy
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import SETTINGS, Node, until


async def make_readonly(node: Node, *, readonly: bool) -> None:
    """From now on, or no longer, the database refuses every write."""
    pragma = f"PRAGMA query_only={'ON' if readonly else 'OFF'}"
    await node.store.write(lambda tx: tx.reader.exec_driver_sql(pragma).close())


async def test_a_stop_interrupts_what_hangs_and_that_was_no_attempt(tmp_path: Path, endpoint: Endpoint) -> None:
    node = Node(tmp_path, timeout_s=60)
    node.use(drain_time=timedelta(seconds=0.5))
    await node.start()

    async def hang(request: Request) -> None:
        await asyncio.Event().wait()

    endpoint.answer = hang
    customer = await node.new_customer(endpoint.uri)
    (event_id,) = await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.requests, "the attempt")
    began_s = time.monotonic()
    await node.stop()
    assert time.monotonic() - began_s < 10
    endpoint.answer = lambda request: 200
    await node.start()
    await node.until_written()
    assert [request.attempt for request in endpoint.requests] == [1, 1]
    assert [attempt.outcome for attempt in await node.attempts(customer, event_id)] == ["succeeded"]
    await node.stop()


async def test_a_stop_lets_attempts_finish_and_begins_none(node: Node, endpoint: Endpoint) -> None:
    gate = asyncio.Event()

    async def answer(request: Request) -> int:
        await gate.wait()
        return 200

    endpoint.answer = answer
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"] * 5)
    await until(lambda: endpoint.requests, "the first attempt")
    stopping = asyncio.ensure_future(node.stop())
    await asyncio.sleep(0.05)
    gate.set()
    await stopping
    assert [request.sequence for request in endpoint.accepted] == [1]
    await node.start()
    await node.until_written()
    endpoint.check_order()
    assert len(endpoint.accepted) == 5


async def test_many_restarts_lose_nothing_send_nothing_twice_and_keep_the_order(node: Node, endpoint: Endpoint) -> None:
    chance = random.Random(2)
    endpoint.answer = lambda request: chance.choice([200, 200, 200, 500])
    customer = await node.new_customer(endpoint.uri)
    count = 0
    for _ in range(8):
        for _ in range(10):
            await node.publish(customer, [f"call/{chance.randrange(20)}" for _ in range(10)])
            count += 10
        await asyncio.sleep(chance.uniform(0, 0.1))
        await node.restart()
    await node.until_written()
    assert len(endpoint.accepted) == count
    endpoint.check_order()


async def test_while_the_database_cannot_be_written_attempts_are_kept_bounded_and_nothing_is_lost(
    node: Node, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_UNWRITTEN", 50)
    gate = asyncio.Event()

    async def answer(request: Request) -> int:
        await gate.wait()
        number = int(request.subject.removeprefix("call/"))
        return 500 if (request.sequence + number) % 7 == 0 and request.attempt == 1 else 200

    endpoint.answer = answer
    customer = await node.new_customer(endpoint.uri)
    for _ in range(40):
        await node.publish(customer, [f"call/{number}" for number in range(10)])
    await until(lambda: endpoint.requests, "attempts are under way")
    await make_readonly(node, readonly=True)
    gate.set()
    await until(lambda: (node.registry.get_sample_value("offhook_attempts_unwritten") or 0) >= 50, "it fills up")
    await until(lambda: node.engine.queue_lengths()[1] == 0, "no attempt begins any more")
    asked = len(endpoint.requests)
    assert asked <= 50 + 32
    idle_s = time.monotonic()
    await asyncio.sleep(0.3)  # in which nothing is to happen
    here_s = time.monotonic()
    await make_readonly(node, readonly=False)
    await node.until_written()
    assert len(endpoint.accepted) == 400
    assert not any(idle_s < request.at_s < here_s for request in endpoint.requests)
    endpoint.check_order()


async def test_what_comes_again_after_a_kill_is_what_was_in_flight_or_not_written(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is never more than fits into the slots of a destination and among the records that wait to be written."""
    monkeypatch.setattr(recorder, "MAX_UNWRITTEN", 50)
    node = Node(tmp_path, timeout_s=60)
    await node.start()
    customer = await node.new_customer(endpoint.uri)
    for _ in range(10):
        await node.publish(customer, [f"call/{number}" for number in range(40)])
    await node.until_written()
    gate = asyncio.Event()

    async def answer(request: Request) -> int:
        if request.subject.startswith("slow/"):
            await gate.wait()
        return 200

    endpoint.answer = answer
    await node.publish(customer, [f"slow/{number}" for number in range(8)])
    await until(lambda: len(endpoint.requests) == 408, "eight are in flight")
    for _ in range(10):
        await node.publish(customer, [f"call/{number}" for number in range(40)])
    await make_readonly(node, readonly=True)
    await until(lambda: node.recorder.is_full, "no more is begun")
    await until(lambda: node.engine.queue_lengths()[1] == 8, "only the eight are under way")
    recorded = {row.event_id for row in await node.deliveries(customer, "succeeded")}
    begun = {request.id for request in endpoint.requests}
    for service in (node.engine, node.recorder):
        await node.running.abandon(service)
    await node.stop()
    gate.set()
    node = Node(tmp_path, timeout_s=60)
    await node.start()
    await node.until_written()
    ids = Counter(request.id for request in endpoint.requests)
    assert len(ids) == 808
    again = {event_id for event_id, count in ids.items() if count > 1}
    assert again == begun - recorded
    assert 50 <= len(again) - 8 <= 50 + 32
    assert set(ids.values()) <= {1, 2}
    await node.stop()


async def test_a_stop_ends_also_while_the_database_cannot_be_written(tmp_path: Path, endpoint: Endpoint) -> None:
    node = Node(tmp_path)
    node.use(drain_time=timedelta(seconds=0.5))
    await node.start()
    gate = asyncio.Event()

    async def answer(request: Request) -> int:
        await gate.wait()
        return 200

    endpoint.answer = answer
    customer = await node.new_customer(endpoint.uri)
    (event_id,) = await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.requests, "the attempt")
    await make_readonly(node, readonly=True)
    gate.set()
    await until(lambda: endpoint.accepted, "it succeeds")
    began_s = time.monotonic()
    await node.stop()
    assert time.monotonic() - began_s < 10
    await node.start()
    await node.until_written()
    # It could not be written down, so that it is sent once more, under the same id.
    assert [request.id for request in endpoint.accepted] == [event_id, event_id]
    await node.stop()


async def test_retries_long_after_their_failure_survive_a_restart_and_reads_under_way(
    node: Node, endpoint: Endpoint
) -> None:
    """Released from memory, they are known to the database only; new events keep the reader busy meanwhile."""
    await node.stop()
    node.use(order_hold=timedelta(seconds=0.1), retry=RetryPolicy(schedule=(timedelta(seconds=0.5),) * 9))
    await node.start()
    endpoint.answer = lambda request: 500 if (request.attempt, request.sequence) == (1, 1) else 200
    customer = await node.new_customer(endpoint.uri)
    for number in range(30):
        await node.publish(customer, [f"call/{number}"] * 3)
        await asyncio.sleep(0.03)
    await node.restart()
    await node.until_written()
    ids = [request.id for request in endpoint.accepted]
    assert len(ids) == len(set(ids)) == 90


async def test_hundreds_of_destinations_share_the_slots_of_the_node(tmp_path: Path, endpoint: Endpoint) -> None:
    node = Node(tmp_path, SETTINGS)
    node.use(max_in_flight=3, slots_per_destination=2)
    await node.start()

    async def answer(request: Request) -> int:
        await asyncio.sleep(0.001)
        return 200

    endpoint.answer = answer
    customers = [await node.new_customer(endpoint.uri) for _ in range(40)]
    for customer in customers:
        await node.publish(customer, ["call/a", "call/b", "call/c"])
    await until(lambda: len(endpoint.accepted) == 120, "all of them")
    assert endpoint.max_busy_count <= 3
    await node.stop()
