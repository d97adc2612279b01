"""The benchmarks' receiver, a process of its own: `python bench/receiver.py PORT HANGING_PORT`.

Answers 200 to everything at one port and nothing at all at the other. Commands come on standard input, a line each:
`count /path` (webhooks to that path and below), `dump FILE` (when each came), `clear`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop


class Receiver(asyncio.Protocol):
    """Answers 200 and notes when the first byte of each webhook came."""

    arrived: dict[bytes, int]
    counts: Counter[bytes]

    def __init__(self) -> None:
        self._rest = b""
        self._first_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._rest:
            self._first_ns = time.monotonic_ns()
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end]
            size = end + 4 + int(header(head.lower(), b"content-length:"))
            if len(self._rest) < size:
                return
            self._rest = self._rest[size:]
            Receiver.counts[head.split(b" ", 2)[1].split(b"/", 2)[1]] += 1
            Receiver.arrived[header(head, b"webhook-id:")] = self._first_ns
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def header(head: bytes, name: bytes) -> bytes:
    """The value of the header that `name`, with its colon, begins."""
    start = head.find(name) + len(name)
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()


async def receive(port: int, hanging_port: int) -> None:
    """Serve until standard input ends."""
    Receiver.arrived, Receiver.counts = {}, Counter()
    loop = asyncio.get_running_loop()
    await loop.create_server(Receiver, "127.0.0.1", port, backlog=1024)
    await loop.create_server(asyncio.Protocol, "127.0.0.1", hanging_port, backlog=1024)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := (await reader.readline()).decode().split():
        print(answer(*line), flush=True)


def answer(command: str, argument: str = "") -> str:
    """What is asked on standard input."""
    match command:
        case "count":
            return str(Receiver.counts[argument.strip("/").encode()])
        case "dump":
            Path(argument).write_text(json.dumps({key.decode(): at for key, at in Receiver.arrived.items()}))
            return "dumped"
        case "clear":
            Receiver.arrived.clear()
            return "cleared"
    raise SystemExit(f"unknown command: {command}")


if __name__ == "__main__":
    uvloop.run(receive(int(sys.argv[1]), int(sys.argv[2])))
