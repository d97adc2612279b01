"""CPU of the delivery engine alone, in microseconds per delivered event; the receiver is a process of its own.

`python bench/delivery.py [EVENTS] [--profile]`. The events are committed first, then delivered, signed and recorded
through the real store and sender: once sent straight from memory while they are committed, once read from the backlog.
"""

from __future__ import annotations

import asyncio
import cProfile
import multiprocessing
import pstats
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
import uvloop
from prometheus_client import CollectorRegistry

from offhook.delivery.engine import Engine, EngineSettings
from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.recorder import Recorder
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.signature import new_secret
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.ids import new_uuid
from offhook.node.service import Closing
from offhook.node.supervisor import Supervisor
from offhook.outbound.http import HttpSender
from offhook.store.database.database import Database, sqlite_url
from offhook.store.queries import customers, destinations
from offhook.store.store import Store
from outbound import receive

_PAYLOAD = envelope("call_updated", b'{"id":"x","note":"' + b"y" * 800 + b'"}')
_BATCH = 100


async def publish(store: Store, customer: str, count: int) -> None:
    """`count` events, five of each call, in batches."""

    async def some(worker: int) -> None:
        for batch in range(count // _BATCH // 10):
            subjects = [f"call/{worker}-{batch}-{number // 5}" for number in range(_BATCH)]
            await store.write(
                lambda tx, subjects=subjects: [  # type: ignore[misc]
                    tx.add_event(NewEvent(customer, "call_updated", subject, _PAYLOAD)) for subject in subjects
                ]
            )

    await asyncio.gather(*(some(worker) for worker in range(10)))


async def until_delivered(store: Store) -> None:
    """Wait until nothing is pending."""
    query = sa.text("SELECT EXISTS (SELECT 1 FROM deliveries WHERE status = 0)")
    while await store.read(lambda connection: connection.execute(query).scalar_one()):
        await asyncio.sleep(0.02)


async def measure(folder: Path, port: int, count: int, *, from_backlog: bool) -> None:
    """Print what `count` deliveries cost."""
    async with Supervisor() as supervisor:
        store = await supervisor.add(Store(Database(sqlite_url(folder / f"{from_backlog}.db"))))
        await _measure(supervisor, store, port, count, from_backlog=from_backlog)


async def _measure(supervisor: Supervisor, store: Store, port: int, count: int, *, from_backlog: bool) -> None:
    sender = HttpSender(NetworkPolicy(allow_loopback=True), max_connections=2_048)
    customer = new_uuid()
    await store.write(lambda tx: customers.add_customer(tx, customer, new_secret(), {}))
    await store.write(
        lambda tx: destinations.set_webhook(tx, customer, uri=f"http://127.0.0.1:{port}/hook", method="POST")
    )
    await supervisor.add(Closing("sender", sender.close))
    settings = EngineSettings("Offhook/bench")
    recorder = await supervisor.add(Recorder(store, settings.drain_time))
    engine = Engine(store, recorder, sender, settings, DeliveryMetrics(CollectorRegistry()))
    if from_backlog:
        await publish(store, customer, count)
    cpu, wall = time.process_time(), time.perf_counter()
    await supervisor.add(engine)
    if not from_backlog:
        await publish(store, customer, count)
    await until_delivered(store)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    name = "read from the backlog" if from_backlog else "committed and sent"
    print(f"{name:<28} {cpu / count * 1e6:7.1f} us CPU   {count / wall:8.0f} per second")


async def main(port: int, count: int) -> None:
    """Both ways."""
    with tempfile.TemporaryDirectory() as folder:
        for from_backlog in (False, True):
            await measure(Path(folder), port, count, from_backlog=from_backlog)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    event_count = int(arguments[0]) if arguments else 20_000
    here, there = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(there,), daemon=True)
    receiver.start()
    profile = cProfile.Profile()
    if "--profile" in sys.argv:
        profile.enable()
    uvloop.run(main(here.recv(), event_count))
    if "--profile" in sys.argv:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    receiver.terminate()
