"""Commit latency of a publisher beside retention, erasing, "send now" and deleting, each over many events.

`python bench/maintenance.py [EVENTS] [DATABASE_URL]`; without a URL on SQLite in a temporary folder.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
import uvloop

from offhook.delivery.finishing import finish_cancelling, finish_making_due
from offhook.delivery.log import erase_subject
from offhook.delivery.retention import Retention
from offhook.domain.delivery.signature import new_secret
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.ids import new_uuid
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database, sqlite_url
from offhook.store.queries import customers, destinations
from offhook.store.store import Store

_PAYLOAD = envelope("order_paid", b'{"id":"x","note":"' + b"y" * 500 + b'"}')
_URI = "https://hooks.example.com/"


async def new_customer(store: Store) -> str:
    """A customer with a webhook."""
    customer_id = new_uuid()

    def change(tx: Transaction) -> None:
        customers.add_customer(tx, customer_id, new_secret(), {})
        destinations.set_webhook(tx, customer_id, uri=_URI, method="POST")

    await store.write(change)
    return customer_id


async def fill(store: Store, customer_id: str, count: int, *, status: int, attempts: int, subject: str = "") -> None:
    """Events with a delivery each, of that status and after that many failed attempts."""
    for start in range(0, count, 1_000):
        await store.write(
            lambda tx, start=start: [  # type: ignore[misc]
                tx.add_event(NewEvent(customer_id, "order_paid", subject or f"order/{n // 5}", _PAYLOAD))
                for n in range(start, min(start + 1_000, count))
            ]
        )

    def fail(tx: Transaction) -> None:
        key = tx.customer_key(customer_id)
        for number in range(1, attempts + 1):
            tx.connection.execute(
                sa.text(
                    "INSERT INTO attempts (delivery_key, number, uri_key, outcome, started_at, latency_ms, response) "
                    "SELECT deliveries.key, :number, 1, 'server_error', 1, 3, payload FROM deliveries "
                    "JOIN events ON events.key = event_key WHERE deliveries.customer_key = :key"
                ),
                {"number": number, "key": key},
            )
        tx.connection.execute(
            sa.text(
                "UPDATE deliveries SET status = :status, attempt_count = :count, due_at = due_at + :wait "
                "WHERE customer_key = :key"
            ),
            {"status": status, "count": attempts, "wait": 7_200_000_000 * bool(attempts), "key": key},
        )

    await store.write(fail)


async def beside(store: Store, customer_id: str, name: str, work: Awaitable[object]) -> None:
    """Print how long commits of five events took while `work` went on."""
    working = asyncio.ensure_future(work)
    began_s, taken_ms = time.perf_counter(), []
    while not working.done():
        at_s = time.perf_counter()
        await store.write(lambda tx: [tx.add_event(NewEvent(customer_id, "a", "a/1", _PAYLOAD)) for _ in range(5)])
        taken_ms.append((time.perf_counter() - at_s) * 1e3)
        await asyncio.sleep(0.002)
    taken_ms.sort()
    p50, p99 = (taken_ms[int(len(taken_ms) * share)] for share in (0.5, 0.99))
    print(
        f"{name:<30} {time.perf_counter() - began_s:6.1f} s   commit p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   "
        f"max {taken_ms[-1]:6.1f} ms",
        flush=True,
    )
    await working


async def main(url: str, count: int) -> None:
    """One after the other."""
    store = Store(Database(url))
    await store.start()
    publisher = await new_customer(store)
    await beside(store, publisher, "nothing", asyncio.sleep(3))
    customer_id = await new_customer(store)
    await fill(store, customer_id, count, status=2, attempts=3)
    await beside(store, publisher, "retention", Retention(store, timedelta(days=30), {"order": timedelta()}).prune())
    customer_id = await new_customer(store)
    await fill(store, customer_id, count, status=0, attempts=1, subject="person/1")
    await beside(store, publisher, "erasing one subject", erase_subject(store, customer_id, "person/1"))
    customer_id = await new_customer(store)
    await fill(store, customer_id, count, status=0, attempts=1)
    await store.write(lambda tx: destinations.set_webhook(tx, customer_id, uri="http://127.0.0.1:9/", method="POST"))
    await beside(store, publisher, "sending what failed at once", finish_making_due(store))
    await store.write(lambda tx: destinations.cancel_customer(tx, customer_id))
    await beside(store, publisher, "cancelling a customer's", finish_cancelling(store))
    await store.stop()


if __name__ == "__main__":
    event_count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(main(sys.argv[2] if len(sys.argv) > 2 else sqlite_url(Path(folder) / "a.db"), event_count))
