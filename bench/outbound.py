"""CPU per webhook sent, in microseconds: our sender, plain aiohttp and a bare asyncio exchange side by side.

`python bench/outbound.py [REQUESTS]`. The receiver is a minimal asyncio server in a process of its own; 32 requests are
under way at once over connections kept alive. Figures are CPU of the sending process alone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import cast

import aiohttp
import uvloop

from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.outcome import Outcome
from offhook.outbound.http import HttpSender
from offhook.outbound.port import HeaderFields, OutgoingRequest

CONCURRENCY = 32
BODY = b'{"type":"call_created","data":{' + b'"k":"0123456789012345678901234567890123456789",' * 12 + b'"z":1}}'
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "Offhook/0.1.0",
    "webhook-id": "evt_01J00000000000000000000000",
    "webhook-timestamp": "1790000000",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "X-VoIPBIN-Signature": "sha256=" + "ab" * 32,
    "offhook-attempt": "1",
    "offhook-subject": "call/6f1a5a0e-7d60-4a0e-9a3e-0a5d4f1c2b3d",
    "offhook-sequence": "3",
    "offhook-position": "12345",
}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Receiver(asyncio.Protocol):
    """Answers each request once its announced body is complete."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) >= length:
            self._buffer = rest[length:]
            self._transport.write(ANSWER)


def receive(pipe: Connection) -> None:
    """Serve until terminated; the port goes through `pipe`."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


async def measure(name: str, send: Callable[[], Awaitable[None]], count: int) -> None:
    """Print the CPU and the rate of `count` sendings."""

    async def work(share: int) -> None:
        for _ in range(share):
            await send()

    async def spread(total: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(work(total // CONCURRENCY))

    await spread(CONCURRENCY * 20)
    cpu, wall = time.process_time(), time.perf_counter()
    await spread(count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:<28} {cpu / count * 1e6:7.1f} us CPU   {count / wall:8.0f} per second")


async def with_sender(port: int, count: int) -> None:
    """Our own sender, everything checked."""
    sender = HttpSender(NetworkPolicy(allow_loopback=True), max_connections=100)
    request = OutgoingRequest("POST", f"http://127.0.0.1:{port}/hook?x=1", HeaderFields.of(HEADERS), BODY)

    async def send() -> None:
        assert (await sender.send(request)).outcome is Outcome.SUCCEEDED

    await measure("HttpSender", send, count)
    await sender.close()


async def with_aiohttp(port: int, count: int) -> None:
    """aiohttp as it comes, its total timeout on."""
    url = f"http://127.0.0.1:{port}/hook?x=1"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send() -> None:
            async with session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as response:
                await response.read()

        await measure("aiohttp as it comes", send, count)


async def with_streams(port: int, count: int) -> None:
    """A bare exchange over asyncio streams: no pool, no checks, no deadline; the floor."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    wire = f"POST /hook HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def send() -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        writer.write(wire)
        await reader.readexactly(len(ANSWER))
        idle.append((reader, writer))

    await measure("bare asyncio streams", send, count)
    for _, writer in idle:
        writer.close()


async def compare(port: int, count: int) -> None:
    """One after the other, on one loop."""
    await with_streams(port, count)
    await with_aiohttp(port, count)
    await with_sender(port, count)


def main() -> None:
    """Run the receiver, then all variants."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=receive, args=(theirs,), daemon=True)
    receiver.start()
    try:
        uvloop.run(compare(ours.recv(), count))
    finally:
        receiver.terminate()


if __name__ == "__main__":
    main()
