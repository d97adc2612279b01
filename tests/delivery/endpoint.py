"""A customer's endpoint in the test's own event loop, which answers as a test tells it."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

Answer = int | bytes | None
"""A status, a whole answer, or None: none at all."""


class Request:
    """One attempt as it came."""

    def __init__(self, method: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.headers, self.body = method, headers, body
        self.at_s = time.monotonic()

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def subject(self) -> str:
        return self.headers.get("offhook-subject", "")

    @property
    def sequence(self) -> int:
        return int(self.headers["offhook-sequence"])

    @property
    def attempt(self) -> int:
        return int(self.headers["offhook-attempt"])

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]


class Endpoint:
    """Keeps what it is sent in `requests`; `accepted` are those that it answered with a 2xx."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Answer | Awaitable[Answer]] = lambda request: 200
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.connections: set[_Connection] = set()
        self.busy_count = 0
        self.max_busy_count = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.uri = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    async def stop(self) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.close()

    def by_subject(self) -> dict[str, list[Request]]:
        """The accepted ones, in order of arrival."""
        found: dict[str, list[Request]] = defaultdict(list)
        for request in self.accepted:
            found[request.subject].append(request)
        return found

    def was_asked(self, count: int) -> bool:
        """Whether so many attempts came, at least."""
        return len(self.requests) >= count

    def has_accepted(self, event_id: str) -> bool:
        """Whether that event was answered with a 2xx."""
        return any(request.id == event_id for request in self.accepted)

    def check_order(self) -> None:
        """Every subject's events came in sequence, without a gap, and none twice."""
        for subject, requests in self.by_subject().items():
            if subject:
                assert [request.sequence for request in requests] == list(range(1, len(requests) + 1)), subject
        ids = [request.id for request in self.accepted]
        assert len(ids) == len(set(ids)), "one came twice"


class _Connection(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.connections.discard(self)
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._serve(Request(lines[0].split(" ")[0], headers, rest[:length]))

    def _serve(self, request: Request) -> None:
        endpoint = self._endpoint
        endpoint.requests.append(request)
        answer = endpoint.answer(request)
        if inspect.isawaitable(answer):
            task = asyncio.ensure_future(self._answer_later(request, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._write(request, answer)

    async def _answer_later(self, request: Request, answer: Awaitable[Answer]) -> None:
        endpoint = self._endpoint
        endpoint.busy_count += 1
        endpoint.max_busy_count = max(endpoint.max_busy_count, endpoint.busy_count)
        try:
            self._write(request, await answer)
        finally:
            endpoint.busy_count -= 1

    def _write(self, request: Request, answer: Answer) -> None:
        if answer is None:
            return
        if isinstance(answer, int):
            answer = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % answer
        if answer.startswith(b"HTTP/1.1 2"):
            self._endpoint.accepted.append(request)
        self._transport.write(answer)
