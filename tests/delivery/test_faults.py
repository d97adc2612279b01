"""A fault of our own in one destination's queue: it is nobody else's, nothing is lost, and the engine goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from offhook.delivery import engine as engine_module
from offhook.delivery.conclusions import Conclusions
from offhook.delivery.lanes import Lanes
from offhook.delivery.queue import DestinationQueue
from offhook.domain.delivery.signature import Signer
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until


class Fault:
    """An injected fault: a method fails the next few times, of one destination or of any."""

    def __init__(self, patch: pytest.MonkeyPatch, of: type, name: str, count: int = 1) -> None:
        self.left = count
        method = getattr(of, name)

        def failing(*given: Any, **named: Any) -> Any:
            if self.left:
                self.left -= 1
                raise RuntimeError(f"injected: {name}")
            return method(*given, **named)

        patch.setattr(of, name, failing)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0.05)


async def check_alive(node: Node, endpoint: Endpoint, expected: int) -> None:
    """Everything arrives, in order, and nothing is left over; what is published afterwards arrives too."""
    await node.until_written()
    assert len({request.id for request in endpoint.accepted}) == expected
    for requests in endpoint.by_subject().values():
        firsts = list(dict.fromkeys(request.sequence for request in requests))
        assert firsts == sorted(firsts)
    late = await node.new_customer(endpoint.uri)
    await node.publish(late, ["call/late"])
    await until(lambda: endpoint.accepted[-1].subject == "call/late", "the engine goes on")
    assert not node.engine._ended.is_set()
    await until(lambda: node.engine.queue_lengths() == (0, 0), "nothing is left over")


async def test_a_fault_with_one_destination_skips_no_other_delivery_of_the_commit_and_loses_nothing(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await node.new_customer(endpoint.uri), await node.new_customer(other_endpoint.uri)
    for customer in (bad, good):
        await node.publish(customer, ["call/a"])
    await node.until_written()
    Fault(monkeypatch, DestinationQueue, "offer")
    await asyncio.gather(node.publish(bad, ["call/a"]), node.publish(good, ["call/a"]))
    await until(lambda: len(other_endpoint.accepted) == 2, "the other one's, from the same commit")
    await check_alive(node, endpoint, 2)


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (DestinationQueue, "offer"),
        (DestinationQueue, "make_room"),
        (DestinationQueue, "take_loaded"),
        (DestinationQueue, "set_destination"),
        (DestinationQueue, "next_wake_us"),
        (DestinationQueue, "take_arrived"),
        (Conclusions, "conclude"),
        (Conclusions, "_judge"),
        (Lanes, "advance"),
        (Lanes, "take"),
        (Lanes, "settle"),
        (Lanes, "park"),
        (Lanes, "requeue_taken"),
        (Lanes, "_go_on"),
        (Lanes, "_end_attempt"),
        (Lanes, "_accept"),
        (Lanes, "note_written"),
        (Signer, "headers"),
    ],
)
async def test_a_fault_anywhere_in_a_queue_ends_no_delivery_and_not_the_engine(
    node: Node, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, of: type, name: str
) -> None:
    async def answer(request: Request) -> int:
        await asyncio.sleep(0.002)
        return 500 if (request.subject, request.sequence, request.attempt) == ("call/0", 3, 1) else 200

    endpoint.answer = answer
    customers = [await node.new_customer(endpoint.uri) for _ in range(3)]
    subjects = [f"call/{number}" for number in range(4)] * 5
    for customer in customers:
        await node.publish(customer, subjects)
    await until(lambda: endpoint.accepted, "it is under way")
    fault = Fault(monkeypatch, of, name, 3)
    for customer in customers:
        await node.publish(customer, subjects)
        await node.point(customer, endpoint.uri)
    await node.until_written(30)
    if of is not Lanes or name != "requeue_taken":
        assert fault.left == 0
    await check_alive(node, endpoint, 120)


async def test_two_faults_in_a_row_lose_nothing_either(
    node: Node, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that can neither be concluded nor put back is read again from the database."""
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"])
    await node.until_written()
    Fault(monkeypatch, Conclusions, "conclude")
    Fault(monkeypatch, Lanes, "requeue_taken")
    await node.publish(customer, ["call/a", "call/a"])
    await check_alive(node, endpoint, 3)
