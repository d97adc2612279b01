"""Everything at once with hardly any memory: commits, reads, spills, uri changes, resends, erasures, restarts."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from offhook.delivery.log import erase_subject, replay, resend
from offhook.delivery.memory import MemoryLimits
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.errors import ConflictError
from offhook.domain.events.replay import Replay
from offhook.store.queries import destinations
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node
from tests.postgres import Postgres
from tests.rounds import STORMS

QUICK = RetryPolicy(schedule=(timedelta(milliseconds=30), timedelta(milliseconds=5)) * 400, jitter=0.5)


class Storm:
    """Random changes by one customer; what must arrive is kept per subject, in order."""

    def __init__(self, node: Node, endpoints: list[Endpoint], chance: random.Random) -> None:
        self.node, self.endpoints, self.chance = node, endpoints, chance
        self.expected: dict[str, list[str]] = {}
        self.erased: set[str] = set()

    async def begin(self) -> None:
        self.customer = await self.node.new_customer(self.endpoints[0].uri)

    async def publish(self) -> None:
        subjects = [f"call/{self.chance.randrange(8)}" for _ in range(self.chance.randrange(1, 25))]
        for subject, event_id in zip(subjects, await self.node.publish(self.customer, subjects), strict=True):
            self.expected.setdefault(subject, []).append(event_id)

    async def point(self) -> None:
        await self.node.point(self.customer, self.chance.choice(self.endpoints).uri)

    async def rotate(self) -> None:
        await self.node.store.write(lambda tx: destinations.secrets_changed(tx, self.customer))

    async def resend(self) -> None:
        ids = [event_id for some in self.expected.values() for event_id in some]
        if ids:
            event_id = self.chance.choice(ids)
            await self.node.store.write(lambda tx: resend(tx, self.customer, event_id))

    async def replay(self) -> None:
        # The log may not have come as far yet.
        with suppress(ConflictError):
            await replay(self.node.store, self.customer, Replay(after=self.chance.randrange(50), only="all"))

    async def erase(self) -> None:
        subject = f"call/{self.chance.randrange(8)}"
        await erase_subject(self.node.store, self.customer, subject)
        self.erased.update(self.expected.pop(subject, []))

    async def freeze(self) -> None:
        await self.node.store.write(lambda tx: destinations.hold_customer(tx, self.customer))
        await asyncio.sleep(self.chance.uniform(0, 0.03))
        await self.node.store.write(lambda tx: destinations.release_customer(tx, self.customer))

    async def restart(self) -> None:
        await self.node.restart()

    async def rage(self, steps: int, *, erasing: bool, repeating: bool) -> None:
        changes = [self.publish] * 12 + [self.point, self.rotate, self.freeze, self.restart]
        if erasing:
            changes += [self.erase] * 2
        if repeating:
            changes += [self.resend, self.replay]
        for _ in range(steps):
            await self.chance.choice(changes)()
            await asyncio.sleep(self.chance.choice([0, 0, 0.001, 0.02]))


def first_arrivals(endpoints: list[Endpoint]) -> dict[str, list[str]]:
    requests = sorted((request for endpoint in endpoints for request in endpoint.accepted), key=lambda one: one.at_s)
    order: dict[str, list[str]] = {}
    for request in requests:
        ids = order.setdefault(request.subject, [])
        if request.id not in ids:
            ids.append(request.id)
    return order


@pytest.mark.parametrize("seed", STORMS)
@pytest.mark.parametrize("kind", ["plain", "erasing", "repeating"])
async def test_whatever_happens_everything_arrives_in_order(
    tmp_path: Path, endpoint: Endpoint, other_endpoint: Endpoint, seed: int, kind: str
) -> None:
    await weather(Node(tmp_path), [endpoint, other_endpoint], random.Random(f"{kind}{seed}"), kind)


@pytest.mark.parametrize("seed", STORMS[1:])
@pytest.mark.parametrize("kind", ["plain", "erasing", "repeating"])
async def test_the_same_on_postgresql(
    tmp_path: Path, endpoint: Endpoint, other_endpoint: Endpoint, postgres: Postgres, seed: int, kind: str
) -> None:
    node = Node(tmp_path, database_url=postgres.migrated_database())
    await weather(node, [endpoint, other_endpoint], random.Random(f"{kind}{seed}"), kind)


async def weather(node: Node, endpoints: list[Endpoint], chance: random.Random, kind: str) -> None:
    """A storm, and what it must not have done."""

    async def answer(request: Request) -> int:
        await asyncio.sleep(chance.choice([0, 0.001, 0.01]))
        return chance.choice([200, 200, 200, 500])

    for endpoint in endpoints:
        endpoint.answer = answer
    memory = MemoryLimits(lane=2, window=8, floor=2, chunk=3, total=30)
    node.use(memory=memory, retry=QUICK, order_hold=timedelta(hours=1), slots_per_destination=4)
    await node.start()
    storm = Storm(node, endpoints, chance)
    await storm.begin()
    await storm.rage(60, erasing=kind == "erasing", repeating=kind == "repeating")
    await node.until_written(30)
    arrived = first_arrivals(endpoints)
    for subject, ids in storm.expected.items():
        seen = [event_id for event_id in arrived.get(subject, []) if event_id not in storm.erased]
        assert seen == ids, f"{subject}: lost or out of order"
    if kind == "plain":
        every = [request.id for endpoint in endpoints for request in endpoint.accepted]
        assert len(every) == len(set(every)), "one came twice"
    assert node.engine.queue_lengths() == (0, 0)
    await node.stop()
