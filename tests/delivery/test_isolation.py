"""One destination never delays another; memory stays bounded whatever is pending."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from offhook.delivery.memory import MemoryLimits
from offhook.domain.delivery.retry import RetryPolicy
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until


@pytest.mark.alone
async def test_a_hanging_destination_beside_nine_healthy_ones(
    tmp_path: Path, endpoint: Endpoint, chance: random.Random
) -> None:
    node = Node(tmp_path, timeout_s=0.6)
    await node.start()
    hanging = Endpoint()
    await hanging.start()

    async def hang(request: Request) -> None:
        await asyncio.Event().wait()

    hanging.answer = hang
    stuck = await node.new_customer(hanging.uri)
    healthy = [await node.new_customer(endpoint.uri) for _ in range(9)]
    sent_s: dict[str, float] = {}
    for _ in range(60):
        await node.publish(stuck, [f"call/{chance.randrange(50)}" for _ in range(5)])
        for customer in healthy:
            now_s = time.monotonic()
            for event_id in await node.publish(customer, ["call/a", "call/b"]):
                sent_s[event_id] = now_s
    await until(lambda: len(endpoint.accepted) == 60 * 9 * 2, "everything of the healthy ones")
    waits = sorted(request.at_s - sent_s[request.id] for request in endpoint.accepted)
    assert waits[int(len(waits) * 0.99)] < 0.3
    # Probed by now, it costs one connection at most.
    await until(lambda: len(hanging.connections) <= 1, "its connections are gone")
    hanging.max_busy_count = hanging.busy_count
    asked = len(hanging.requests)
    await until(lambda: len(hanging.requests) >= asked + 2, "two probes")
    assert hanging.max_busy_count == 1
    await node.stop()
    await hanging.stop()


async def test_no_more_than_its_slots_are_used_for_one_destination(node: Node, endpoint: Endpoint) -> None:
    async def slow(request: Request) -> int:
        await asyncio.sleep(0.01)
        return 200

    endpoint.answer = slow
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, [f"call/{number}" for number in range(200)])
    await until(lambda: len(endpoint.accepted) == 200, "all of them")
    assert endpoint.max_busy_count == 32


@pytest.mark.alone
async def test_retry_after_is_honoured(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: (
        200 if request.attempt > 1 else b"HTTP/1.1 429 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    )
    customer = await node.new_customer(endpoint.uri)
    (event_id,) = await node.publish(customer, ["call/a"])
    await node.until_written()
    first, second = endpoint.requests
    assert 1 <= second.at_s - first.at_s < 4
    assert [attempt.outcome for attempt in await node.attempts(customer, event_id)] == ["throttled", "succeeded"]


@pytest.mark.alone
async def test_a_tenant_with_a_long_queue_beside_one_with_a_single_event(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint
) -> None:
    gate = asyncio.Event()

    async def slow(request: Request) -> int:
        await gate.wait()
        return 200

    endpoint.answer = slow
    heavy = await node.new_customer(endpoint.uri)
    light = await node.new_customer(other_endpoint.uri)
    for _ in range(50):
        await node.publish(heavy, [f"call/{number}" for number in range(1_000)])
    count, _ = node.engine.queue_lengths()
    assert count <= MemoryLimits().window
    gate.set()
    began_s = time.monotonic()
    await node.publish(light, ["call/a"])
    await until(lambda: other_endpoint.accepted, "the single one")
    assert time.monotonic() - began_s < 1
    assert len(endpoint.accepted) < 45_000


async def test_a_dead_destination_s_backlog_stays_in_the_database_and_arrives_in_order_when_it_is_back(
    node: Node, endpoint: Endpoint, chance: random.Random
) -> None:
    endpoint.answer = lambda request: b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
    customer = await node.new_customer(endpoint.uri)
    largest = 0
    for _ in range(20):
        await node.publish(customer, [f"call/{chance.randrange(300)}" for _ in range(1_000)])
        largest = max(largest, node.engine.queue_lengths()[0])
    assert largest <= MemoryLimits().window
    await until(lambda: node.engine.queue_lengths()[0] <= 100, "probed, it holds next to nothing")
    endpoint.answer = lambda request: 200
    await until(lambda: len(endpoint.accepted) >= 20_000, "all of them", 60)
    await node.until_written()
    endpoint.check_order()
    assert node.engine.queue_lengths() == (0, 0)


async def test_memory_is_bounded_over_all_destinations(tmp_path: Path, endpoint: Endpoint) -> None:
    node = Node(tmp_path)
    limits = MemoryLimits(total=100, floor=4)
    node.use(memory=limits)
    await node.start()
    gate = asyncio.Event()

    async def slow(request: Request) -> int:
        await gate.wait()
        return 200

    endpoint.answer = slow
    customers = [await node.new_customer(endpoint.uri) for _ in range(30)]
    for customer in customers:
        await node.publish(customer, [f"call/{number}" for number in range(50)])
    await until(lambda: len(endpoint.requests) >= 30 * 4, "each has begun")
    assert node.engine.queue_lengths()[0] <= 100 + 30 * 4
    gate.set()
    await node.until_written(30)
    assert len(endpoint.accepted) == 1_500


@pytest.mark.alone
async def test_one_blocked_subject_with_thousands_of_events_costs_the_others_nothing(
    node: Node, endpoint: Endpoint
) -> None:
    await node.stop()
    node.use(retry=RetryPolicy(schedule=(timedelta(seconds=3),) * 9, jitter=0))
    await node.start()
    customer = await node.new_customer(endpoint.uri)
    endpoint.answer = lambda request: (
        500 if (request.subject, request.sequence, request.attempt) == ("call/stuck", 1, 1) else 200
    )
    for _ in range(6):
        await node.publish(customer, ["call/stuck"] * 1_000)
    await node.publish(customer, [f"call/{number}" for number in range(2_000)])
    await until(lambda: len(endpoint.accepted) >= 2_000, "the others")
    assert {request.subject for request in endpoint.accepted[:2_000]} >= {"call/0", "call/1999"}
    # While the thousands drain one by one, a fresh event of another subject does not wait for them.
    await until(lambda: len(endpoint.accepted) > 2_500, "it drains")
    began_s = time.monotonic()
    (fresh,) = await node.publish(customer, ["call/fresh"])
    await until(lambda: any(request.id == fresh for request in endpoint.accepted), "the fresh one")
    assert time.monotonic() - began_s < 0.5
    assert len(endpoint.accepted) < 8_001
    await node.until_written(40)
    endpoint.check_order()
