"""One subject's events in sequence, whatever fails; other subjects at once."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from offhook.delivery.memory import MemoryLimits
from offhook.domain.delivery.retry import RetryPolicy
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until

TINY = MemoryLimits(lane=3, window=12, floor=2, chunk=5, total=40)


async def test_under_random_failures_every_subject_arrives_in_order_and_none_twice(
    node: Node, endpoint: Endpoint
) -> None:
    chance = random.Random(1)

    async def answer(request: Request) -> int:
        await asyncio.sleep(chance.uniform(0, 0.004))
        return chance.choice([200, 200, 200, 200, 503])

    endpoint.answer = answer
    customer = await node.new_customer(endpoint.uri)
    for _ in range(40):
        await node.publish(customer, [f"call/{chance.randrange(12)}" for _ in range(10)])
    await node.until_written()
    assert len(endpoint.accepted) == 400
    endpoint.check_order()


async def test_the_same_with_hardly_any_memory(node: Node, endpoint: Endpoint) -> None:
    await node.stop()
    node.use(memory=TINY)
    await node.start()
    await test_under_random_failures_every_subject_arrives_in_order_and_none_twice(node, endpoint)
    assert node.engine.queue_lengths() == (0, 0)


@pytest.mark.alone
async def test_later_events_wait_for_the_hold_and_then_pass_and_other_subjects_never_wait(
    node: Node, endpoint: Endpoint
) -> None:
    await node.stop()
    node.use(order_hold=timedelta(seconds=0.6), retry=RetryPolicy(schedule=(timedelta(seconds=1.5),), jitter=0))
    await node.start()
    endpoint.answer = lambda request: 500 if (request.data, request.attempt) == ({"n": 0}, 1) else 200
    customer = await node.new_customer(endpoint.uri)
    (stuck,) = await node.publish(customer, ["call/a"], b'{"n":0}')
    await node.publish(customer, ["call/a", "call/b", "call/a"])
    await until(lambda: len(endpoint.accepted) == 4, "all four")
    first_failure = endpoint.requests[0]
    at = {(r.subject, r.sequence): r.at_s - first_failure.at_s for r in endpoint.accepted}
    assert at["call/b", 1] < at["call/a", 2]
    assert 0.6 <= at["call/a", 2] <= at["call/a", 3] < 1.5
    assert at["call/a", 1] >= 1.5
    assert endpoint.accepted[-1].id == stuck


async def test_the_log_says_behind_which_event_a_delivery_waits(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 500 if request.subject == "call/a" else 200
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a", "call/a", "call/b", "call/a"])
    await until(lambda: len(endpoint.requests) >= 2, "one of each subject was tried")
    await until(lambda: endpoint.accepted, "the other subject's arrived")
    behind = [(row.subject, node.engine.behind(row)) for row in reversed(await node.deliveries(customer))]
    assert behind == [("call/a", None), ("call/a", 1), ("call/b", None), ("call/a", 1)]


async def test_without_a_hold_nobody_waits_for_anybody(node: Node, endpoint: Endpoint) -> None:
    await node.stop()
    node.use(order_hold=timedelta())
    await node.start()
    gate = asyncio.Event()

    async def answer(request: Request) -> int:
        if request.sequence == 1:
            await gate.wait()
        return 200

    endpoint.answer = answer
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a", "call/a", "call/a"])
    await until(lambda: len(endpoint.accepted) == 2, "the two behind it")
    gate.set()
    await until(lambda: len(endpoint.accepted) == 3, "the first")


async def test_an_event_that_failed_before_a_restart_still_holds_its_subject(node: Node, endpoint: Endpoint) -> None:
    await node.stop()
    # Its retry is due long before it is read: only what holds is read first.
    node.use(retry=RetryPolicy(schedule=(timedelta(seconds=0.2),) * 9, jitter=0), memory=TINY)
    await node.start()
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.requests, "its first attempt")
    await node.publish(customer, ["call/a"] * 10)
    await node.stop()
    endpoint.answer = lambda request: 200
    await asyncio.sleep(0.3)
    await node.start()
    await node.until_written()
    endpoint.check_order()


async def test_many_blocked_subjects_hold_nobody_else(node: Node, endpoint: Endpoint) -> None:
    await node.stop()
    node.use(memory=TINY, retry=RetryPolicy(schedule=(timedelta(seconds=4),) * 9, jitter=0))
    await node.start()
    endpoint.answer = lambda request: 500 if request.data == {"n": 0} and request.attempt == 1 else 200
    customer = await node.new_customer(endpoint.uri)
    # Nine, so that the destination itself stays healthy; each with more than there is memory for.
    for number in range(9):
        await node.publish(customer, [f"bad/{number}"], b'{"n":0}')
        await node.publish(customer, [f"bad/{number}"] * 14)
    await node.publish(customer, [f"good/{number}" for number in range(60)])
    await until(lambda: sum(request.subject.startswith("good") for request in endpoint.accepted) == 60, "the good ones")
    assert len(endpoint.accepted) == 60, "they waited for the others"
    await node.until_written(30)
    endpoint.check_order()
    assert len(endpoint.accepted) == 9 * 15 + 60
