"""What one client costs its neighbours that is refused again and again, in events per second of all others.

`python bench/neighbours.py [SECONDS]`: 64 publishers on the store itself, alone and then beside one client in a loop
whose every request is a 404, or fails after it has written something.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
import uvloop

from offhook.domain.delivery.signature import new_secret
from offhook.domain.errors import ConflictError, OffhookError
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.ids import new_uuid
from offhook.store import schema
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import Database, sqlite_url
from offhook.store.queries import agents, customers
from offhook.store.store import Store

_PAYLOAD = envelope("call_updated", b'{"id":"x","note":"' + b"y" * 400 + b'"}')
_PUBLISHERS = 64


def _not_found(tx: Transaction, customer: str) -> None:
    agents.change_agent(tx, customer, new_uuid(), name="x")


def _written_first(tx: Transaction, customer: str) -> None:
    tx.connection.execute(sa.update(schema.customers).where(schema.customers.c.id == customer).values(name="x"))
    raise ConflictError("no")


_CLIENTS: dict[str, Callable[[Transaction, str], None] | None] = {
    "alone": None,
    "beside a loop of 404s": _not_found,
    "beside writes that are refused": _written_first,
}


async def measure(store: Store, customer: str, seconds: float, bad: Callable[[Transaction, str], None] | None) -> float:
    """Events per second of the publishers."""
    end, counts = time.perf_counter() + seconds, [0] * _PUBLISHERS

    async def publish(number: int) -> None:
        event = NewEvent(customer, "call_updated", f"call/{number}", _PAYLOAD)
        while time.perf_counter() < end:
            await store.write(lambda tx: [tx.add_event(event) for _ in range(10)])
            counts[number] += 10

    async def be_refused() -> None:
        while bad is not None and time.perf_counter() < end:
            with suppress(OffhookError):
                await store.write(lambda tx: bad(tx, customer))

    await asyncio.gather(be_refused(), *(publish(number) for number in range(_PUBLISHERS)))
    return sum(counts) / seconds


async def main(seconds: float) -> None:
    """All clients, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Database(sqlite_url(Path(folder) / "offhook.db")))
        await store.start()
        customer = new_uuid()
        await store.write(lambda tx: customers.add_customer(tx, customer, new_secret(), {}))
        await measure(store, customer, 1, None)
        for name, bad in _CLIENTS.items():
            print(f"{name:<32} {await measure(store, customer, seconds, bad):8.0f} events per second")
        await store.stop()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5))
