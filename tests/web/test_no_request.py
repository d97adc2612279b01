"""What is no request, or cannot be read as one, is refused with the error envelope like everything else."""

from __future__ import annotations

import json
import socket

import pytest

from tests.acceptance.server import OffhookServer

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
START = b"HTTP/1.1\r\nHost: offhook\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\n"
CASES = {
    "a url of 70 kB": (b"GET /v1.0/events?after=" + b"1" * 70_000 + b" HTTP/1.1\r\nHost: o\r\n\r\n", "url"),
    "a path of 70 kB": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: o\r\n\r\n", "url"),
    "a chunk without a size": (b"POST /v1.0/events " + START + CHUNKED + b"xyz\r\n", "request"),
    "a chunk that goes on": (
        b"PUT /v1.0/customer " + START + CHUNKED + b"2\r\n{}}}",
        "request",
    ),
    "a length that is no number": (b"POST /v1.0/events " + START + b"Content-Length: many\r\n\r\n{}", "request"),
    "a negative length": (b"POST /v1.0/events " + START + b"Content-Length: -5\r\n\r\n{}", "request"),
    "two lengths": (b"POST /ping " + START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "request"),
    "no HTTP": (b"hello\r\n\r\n", "request"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_read_is_answered_with_the_envelope(server: OffhookServer, case: str) -> None:
    sent, field = CASES[case]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(sent.replace(b"TOKEN", server.token.encode()))
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), received
    error = json.loads(body)["error"]
    assert error["details"][0]["field"] == field, error
    assert f"x-request-id: {error['request_id']}".encode() in head.lower()
    assert error["message"]
