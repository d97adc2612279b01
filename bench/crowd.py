"""Ten thousand customers' first events, one percent of the endpoints dead and one percent hanging."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from load import Plan

from node import LoadProcess, ReceiverProcess, Server, free_port, show, wait_for
from offhook.accounts.access_keys import access_key_of
from offhook.accounts.tokens import new_access_key
from offhook.domain.delivery.signature import new_secret
from offhook.domain.ids import new_uuid
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database
from offhook.store.queries import access_keys, customers, destinations
from offhook.store.store import Store

_STEP = 500
_CONNECTIONS = 64
# What the warm customer publishes beside them, in parts of what the node delivers one by one.
_WARM_SHARE = 0.25


class Crowd:
    """The customers, made in the database of a server that does not run; each has an access key of its own."""

    def __init__(self, folder: Path, server: Server, receiver: ReceiverProcess, count: int) -> None:
        self.folder, self.server, self.receiver, self.count = folder, server, receiver, count
        self.healthy_count = sum(1 for number in range(count) if self._kind(number) == "healthy")
        self.tokens = folder / "crowd"
        self._dead_port = free_port()
        asyncio.run(self._make())

    def plan(self, name: str, **given: Any) -> Plan:
        """One request for each of them."""
        out = str(self.folder / name)
        return Plan(self.server.port, str(self.tokens), out, seconds=300, connections=_CONNECTIONS, once=True, **given)

    def greet(self) -> None:
        """Have every access key looked up: what is measured later is delivery."""
        LoadProcess(self.plan("greeted", greet=True)).result()

    @staticmethod
    def _kind(number: int) -> str:
        return {17: "dead", 59: "hanging"}.get(number % 100, "healthy")

    def _uri(self, number: int) -> str:
        ports = {"healthy": self.receiver.port, "dead": self._dead_port, "hanging": self.receiver.hanging_port}
        return f"http://127.0.0.1:{ports[self._kind(number)]}/crowd/{number}"

    async def _make(self) -> None:
        store = Store(Database(self.server.database_url))
        await store.start()
        tokens = [new_access_key() for _ in range(self.count)]
        for first in range(0, self.count, _STEP):
            some = range(first, min(first + _STEP, self.count))
            await store.write(lambda tx, some=some: self._add(tx, some, tokens))  # type: ignore[misc]
        await store.stop()
        self.tokens.write_text("\n".join(tokens))

    def _add(self, tx: Transaction, numbers: range, tokens: list[str]) -> None:
        for number in numbers:
            customer_id = new_uuid()
            customers.add_customer(tx, customer_id, new_secret(), {"name": f"crowd {number}"})
            destinations.set_webhook(tx, customer_id, uri=self._uri(number), method="POST")
            new = access_key_of(tokens[number], "crowd", "", None)
            access_keys.add_access_key(tx, new_uuid(), customer_id, new)


def measure_crowd(crowd: Crowd, warm: Path, one_by_one_per_s: float, batches_per_s: float) -> dict[str, Any]:
    """First events alone, and beside a customer who is being delivered to all the time. The server is started anew."""
    rate = one_by_one_per_s * _WARM_SHARE
    alone = _first_events(crowd)
    alone["of_the_rate_in_batches"] = alone["delivered_per_s"] / batches_per_s
    show("first events", alone)
    crowd.server.stop()
    crowd.server.start()
    crowd.greet()
    seconds = 3 + 2 * crowd.count / alone["delivered_per_s"]
    steady = _steady(crowd, warm, rate, min(seconds, 10))
    beside_load = LoadProcess(_warm_plan(crowd, warm, rate, seconds))
    wait_for(lambda: crowd.receiver.count("warm") > steady["count"] + rate, 60)
    before = crowd.receiver.count("warm")
    beside = _first_events(crowd)
    got = crowd.receiver.count("warm") - before
    beside_load.result()
    figures = {
        "alone_per_s": steady["per_s"],
        "beside_per_s": got / beside["took_s"],
        "kept": got / beside["took_s"] / steady["per_s"],
    }
    show("first beside warm", beside)
    show("warm customer", figures)
    return {"first_events": alone, "first_events_beside": beside, "warm": figures}


def _first_events(crowd: Crowd) -> dict[str, float]:
    before, cpu, start = crowd.receiver.count("crowd"), crowd.server.cpu_s(), time.monotonic()
    accepted = LoadProcess(crowd.plan("first")).result()
    wait_for(lambda: crowd.receiver.count("crowd") - before >= crowd.healthy_count, 300)
    took = time.monotonic() - start
    return {
        "accepted_per_s": accepted["count"] / accepted["took"],
        "delivered_per_s": crowd.healthy_count / took,
        "server_cpu_us_per_event": (crowd.server.cpu_s() - cpu) / crowd.count * 1e6,
        "took_s": took,
    }


def _warm_plan(crowd: Crowd, warm: Path, rate: float, seconds: float) -> Plan:
    return Plan(crowd.server.port, str(warm), str(crowd.folder / "warm-out"), seconds=seconds, rate=rate)


def _steady(crowd: Crowd, warm: Path, rate: float, seconds: float) -> dict[str, float]:
    before = crowd.receiver.count("warm")
    accepted = LoadProcess(_warm_plan(crowd, warm, rate, seconds)).result()
    wait_for(lambda: crowd.receiver.count("warm") - before >= accepted["count"], 60)
    return {"count": before + accepted["count"], "per_s": accepted["count"] / accepted["took"]}
