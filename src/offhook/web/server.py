"""The web server: uvicorn, in the node's event loop, as a service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from litestar.types import ASGIApp

from offhook.domain.errors import MisconfiguredError
from offhook.node.service import Service
from offhook.web.http.protocol import HttpProtocol

_BACKLOG = 2_048
_GRACE_S = 2


class WebServer(Service):
    """Serves `app` on a socket that listens already."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        self._listening = listening
        self._server = _Uvicorn(_config(app))

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "web server"

    async def run(self) -> None:
        """Answer requests."""
        await self._server.serve(sockets=[self._listening])

    async def stop(self) -> None:
        """Take no more connections; requests under way have two seconds."""
        self._server.should_exit = True
        await self._server.ended.wait()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises MisconfiguredError (server.port)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise MisconfiguredError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another address with --host or --port.",
            field="server.port",
        ) from error
    listening.setblocking(False)
    return listening


class _Uvicorn(uvicorn.Server):
    """Uvicorn in our event loop: the signals are ours."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()
        self.ended.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and tell when it is over."""
        self.ended.clear()
        try:
            await super().serve(sockets)
        finally:
            self.ended.set()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=HttpProtocol,
        ws="websockets-sansio",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
