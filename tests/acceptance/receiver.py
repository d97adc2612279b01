"""A customer's endpoint: a real HTTP server that keeps what it was sent, verified by the public library."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import standardwebhooks

Answer = Callable[["Received"], int]


class Received:
    """One request as it came."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.event: dict[str, Any] = json.loads(body)
        self.at_s = time.monotonic()
        self.answered = 0
        """The status that was sent back; 0 while none is decided on."""

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def subject(self) -> str:
        return self.headers.get("offhook-subject", "")

    @property
    def sequence(self) -> int:
        return int(self.headers["offhook-sequence"])

    @property
    def attempt(self) -> int:
        return int(self.headers["offhook-attempt"])


class Receiver:
    """Listens on a free port of the loopback; `answer` decides the status of each request."""

    def __init__(self, answer: Answer = lambda received: 200, port: int = 0) -> None:
        self.received: list[Received] = []
        self.answer = answer
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.command, self.path, headers, body)
                with owner._lock:
                    owner.received.append(received)
                received.answered = owner.answer(received)
                self.send_response(received.answered)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT = do_GET = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/voipbin/webhook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def snapshot(self) -> list[Received]:
        with self._lock:
            return list(self.received)

    def first_arrivals(self) -> list[Received]:
        """What came, without what came again."""
        seen: dict[str, Received] = {}
        for received in self.snapshot():
            seen.setdefault(received.id, received)
        return list(seen.values())

    def verify_all(self, secret: str) -> None:
        """Every request carries a signature that the public library accepts."""
        webhook = standardwebhooks.Webhook(secret)
        for received in self.snapshot():
            webhook.verify(received.body, received.headers)
