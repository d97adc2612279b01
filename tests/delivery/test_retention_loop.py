"""What is old is forgotten, in steps; what is pending never."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from offhook.delivery.retention import Retention
from offhook.store.queries.events import list_events
from tests.delivery.endpoint import Endpoint
from tests.delivery.node import Node
from tests.running import Running


async def logged(node: Node, customer: str) -> list[str]:
    events, _ = await node.store.read(lambda connection: list_events(connection, customer, after=0, page_size=10_000))
    return [event.id for event in events]


async def test_old_events_are_forgotten_and_pending_ones_kept(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 200 if request.subject == "call/done" else 410
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/done"] * 1_200)
    await node.until_written()
    (held,) = await node.publish(customer, ["call/held"])
    keep_all = Retention(node.store, timedelta(days=30), {})
    assert await keep_all.prune() == 0
    by_family = Retention(node.store, timedelta(), {"call": timedelta(days=30)})
    assert await by_family.prune() == 0
    keep_none = Retention(node.store, timedelta(days=30), {"call": timedelta()})
    assert await keep_none.prune() == 1_200
    assert await logged(node, customer) == [held]


async def test_it_starts_and_stops(node: Node) -> None:
    running = Running()
    customer = await node.new_customer()
    await node.publish(customer, ["call/a"])
    await running.add(Retention(node.store, timedelta(), {}))
    async with asyncio.timeout(10):
        while await logged(node, customer):
            await asyncio.sleep(0.01)
    await running.stop()
