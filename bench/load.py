"""The benchmarks' publisher, a process of its own: `python bench/load.py JSON`, where JSON is a `Plan`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from receiver import header

EVENTS_PER_SUBJECT = 6
DATA = {"id": "x", "note": "y" * 400, "source": {"type": "tel", "target": "+15551230001"}}


class Plan(msgspec.Struct, frozen=True):
    """What to publish: for `seconds`, or one request for each token if `once`; results go to `out`.

    As fast as answers come on `connections`, or at `rate` events a second. `tokens` is a file with one a line; they
    are used in turn. With `greet` the requests only ask who the token's holder is: the server then knows it.
    """

    port: int
    tokens: str
    out: str
    batch: int = 1
    seconds: float = 10
    rate: float = 0
    connections: int = 64
    once: bool = False
    greet: bool = False


class Publisher(asyncio.Protocol):
    """One kept-alive connection that publishes, one request after another."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._rest = b""
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._load.connected(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The server closes what is idle for a while, perhaps in the moment in which it is used."""
        self._load.lost(self, self._request)

    def send(self, request: bytes) -> None:
        self._request = request
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            return
        size = end + 4 + int(header(self._rest[:end].lower(), b"content-length:"))
        if len(self._rest) < size:
            return
        now = time.monotonic_ns()
        body, status, self._rest = self._rest[end + 4 : size], self._rest[9:12], self._rest[size:]
        if status not in (b"200", b"202"):
            raise SystemExit(f"the server answered {status.decode()}: {body[:300].decode()}")
        self._request = b""
        self._load.answered(self, body, now)


class Load:
    """The plan under way."""

    def __init__(self, plan: Plan) -> None:
        self.accepted: dict[str, int] = {}
        self.count = 0
        self._plan = plan
        self._heads = [self._head(token) for token in Path(plan.tokens).read_text().split()]
        self._number = 0
        self._request_count = 0
        self._under_way = 0
        self._idle: deque[Publisher] = deque()
        self._again: deque[bytes] = deque()
        self._opening: set[asyncio.Task[object]] = set()
        self._done = asyncio.Event()
        self._run = f"{os.getpid()}-{time.time_ns()}"

    async def run(self) -> float:
        """Publish; the seconds it took."""
        for _ in range(self._plan.connections):
            await self._open()
        start = time.monotonic()
        self._end = start + self._plan.seconds
        await self._pace(start)
        await asyncio.wait_for(self._done.wait(), self._plan.seconds + 60)
        return time.monotonic() - start

    def connected(self, connection: Publisher) -> None:
        """Use a new connection."""
        if self._again:
            connection.send(self._again.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: Publisher, request: bytes) -> None:
        """Replace a connection that was closed, and repeat what was not answered on it."""
        if self._done.is_set():
            return
        if request:
            self._again.append(request)
        else:
            self._idle.remove(connection)
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def answered(self, connection: Publisher, body: bytes, now_ns: int) -> None:
        """Count it and go on."""
        self._under_way -= 1
        self.count += self._plan.batch
        if self._plan.rate:
            for event_id in json.loads(body)["ids"]:
                self.accepted[event_id] = now_ns
        self._idle.append(connection)
        if not self._plan.rate and not self._is_over():
            self._send_next()
        self._look_for_end()

    def _is_over(self) -> bool:
        if self._plan.once:
            return self._request_count >= len(self._heads)
        return time.monotonic() >= self._end

    def _look_for_end(self) -> None:
        if self._is_over() and not self._under_way:
            self._done.set()

    async def _pace(self, start: float) -> None:
        plan = self._plan
        while not self._is_over():
            now = time.monotonic()
            due = int((now - start) * plan.rate / plan.batch) - self._request_count if plan.rate else len(self._idle)
            for _ in range(min(due, len(self._idle))):
                self._send_next()
            await asyncio.sleep(0.001 if plan.rate else 0.05)
        self._look_for_end()

    def _send_next(self) -> None:
        if self._is_over():
            return
        self._under_way += 1
        # In turn: the server closes those that are left idle.
        self._idle.popleft().send(self._next_request())

    def _next_request(self) -> bytes:
        head = self._heads[self._request_count % len(self._heads)]
        self._request_count += 1
        if self._plan.greet:
            return f"GET /v1.0/me HTTP/1.1\r\n{head}\r\n\r\n".encode()
        events = []
        for _ in range(self._plan.batch):
            subject = f"bench/{self._run}-{self._number // EVENTS_PER_SUBJECT}"
            events.append({"type": "bench_event", "subject": subject, "data": DATA})
            self._number += 1
        body = json.dumps(events if self._plan.batch > 1 else events[0]).encode()
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
        return f"POST /v1.0/events HTTP/1.1\r\n{head}\r\n{length}\r\n\r\n".encode() + body

    def _head(self, token: str) -> str:
        return f"Host: 127.0.0.1:{self._plan.port}\r\nAuthorization: Bearer {token}"

    async def _open(self) -> object:
        return await asyncio.get_running_loop().create_connection(lambda: Publisher(self), "127.0.0.1", self._plan.port)


async def publish(plan: Plan) -> None:
    """Run the plan and write what was accepted, and when, to its `out`."""
    load = Load(plan)
    took = await load.run()
    Path(plan.out).write_text(json.dumps({"count": load.count, "took": took, "accepted": load.accepted}))


if __name__ == "__main__":
    uvloop.run(publish(msgspec.json.decode(sys.argv[1], type=Plan)))
