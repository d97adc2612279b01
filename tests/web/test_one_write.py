"""An answer leaves in one piece: whoever asked is woken once, and the server makes one system call."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from typing import Any, cast

from offhook.web.http.protocol import JoiningTransport
from tests.acceptance.server import OffhookServer


def test_head_and_body_of_an_answer_come_together(server: OffhookServer) -> None:
    body = json.dumps({"type": "ping", "data": {}}).encode()
    head = f"POST /v1.0/events HTTP/1.1\r\nHost: o\r\nAuthorization: Bearer {server.token}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for _ in range(50):
            connection.sendall(request)
            answer, _, content = connection.recv(65_536).partition(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 202 ")
            assert len(json.loads(content)["ids"]) == 1


def test_who_is_gone_before_the_answer_leaves_no_trace_in_the_log(server: OffhookServer) -> None:
    body = json.dumps({"type": "ping", "data": {}}).encode()
    head = f"POST /v1.0/events HTTP/1.1\r\nHost: o\r\nAuthorization: Bearer {server.token}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    for number in range(300):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            # Closed with a reset (socket(7), SO_LINGER).
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request)
            time.sleep(number % 30 / 5_000)
    assert server.request("GET", "/healthz")[0] == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "Exception in callback" not in log


class Written:
    """A transport that keeps what it is given, and whether it was closed."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 1_000


async def test_a_piece_is_written_with_the_next_one_or_in_the_next_turn_and_before_a_close() -> None:
    inner = Written()
    transport = JoiningTransport(cast("Any", inner), asyncio.get_running_loop())
    transport.write(b"head")
    assert (inner.pieces, transport.get_write_buffer_size()) == ([], 1_004)
    transport.write(b"body")
    assert (inner.pieces, transport.get_write_buffer_size()) == ([b"headbody"], 1_000)
    transport.writelines([b"mo", b"re"])
    await asyncio.sleep(0)
    assert inner.pieces == [b"headbody", b"more"]
    transport.write(b"last")
    transport.close()
    assert (inner.pieces[-1], inner.is_closed) == (b"last", True)
    await asyncio.sleep(0)
    assert len(inner.pieces) == 3


async def test_whoever_writes_much_in_one_turn_is_told_to_wait_as_without_it() -> None:
    inner = Written()
    transport = JoiningTransport(cast("Any", inner), asyncio.get_running_loop())
    for number in range(100):
        transport.write(b"x" * 1_000)
        assert sum(map(len, inner.pieces)) >= number * 1_000
    transport.write(b"y" * 100_000)
    assert inner.pieces[-1] == b"y" * 100_000


async def test_nothing_is_written_to_whom_is_gone() -> None:
    inner = Written()
    transport = JoiningTransport(cast("Any", inner), asyncio.get_running_loop())
    transport.write(b"answer")
    inner.close()
    await asyncio.sleep(0)
    assert inner.pieces == []
