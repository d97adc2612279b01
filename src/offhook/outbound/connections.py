"""Connections to strangers: where they may lead is checked at every connect, what may precede an answer is bounded.

aiohttp makes and pools the connections. What it cannot be told through its options is added here: the policy filters
what a name resolves to and is asked again for the very address a socket is opened to (a literal address meets only
the second check); `BoundedConnection` limits the bytes before a response head and refuses answers nobody asked for;
`AttemptTrace` remembers how far an attempt came, so that its failure can be named.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from aiohttp import ServerDisconnectedError, StreamReader, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.resolver import AsyncResolver

from offhook.domain.delivery.networks import OWN_PORT, NetworkPolicy

MAX_HEAD_BYTES = 65_536
"""Most that may come before the end of a response head, interim (1xx) answers included."""
MAX_FIELD_BYTES = 16_384
MAX_INTERIM_COUNT = 32
MAX_ADDRESSES = 8
"""A name may list hundreds of addresses; an attempt tries no more than these."""
READ_SLICE_BYTES = 8_192
READ_BUFFER_BYTES = 16_384


class BlockedError(Exception):
    """The policy forbids the address; its text is the reason."""


class AttemptTrace:
    """How far one attempt came; written while it runs, read when it failed."""

    __slots__ = ("connection", "resolving", "sockets", "started_s")

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s
        self.resolving = False
        self.sockets: list[socket.socket] = []
        self.connection: BoundedConnection | None = None

    def is_connected(self) -> bool:
        """Whether one of the sockets reached its peer (what follows is the TLS handshake)."""
        return any(_has_peer(sock) for sock in self.sockets)

    def died_unanswered(self) -> bool:
        """Whether the request went to a kept-alive connection on which no byte of an answer came."""
        connection = self.connection
        return connection is not None and connection.use_count > 1 and connection.head_bytes == 0


current_trace: ContextVar[AttemptTrace] = ContextVar("current_trace")


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


class Gate:
    """Asks the policy about an address at the moment of use."""

    def __init__(self, policy: NetworkPolicy) -> None:
        self._policy = policy

    def refusal(self, address: str, port: int) -> str | None:
        """The policy's reason, or None; an own port is also found behind addresses given to this machine meanwhile."""
        reason = self._policy.refusal(address, port)
        if reason is None and port in self._policy.own_ports and _is_assigned_here(address):
            return OWN_PORT
        return reason

    def open_socket(
        self, addr_info: tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
    ) -> socket.socket:
        """A socket for exactly this address; raises BlockedError where the policy forbids it."""
        family, kind, protocol, _, address = addr_info
        reason = self.refusal(address[0], address[1])
        if reason is not None:
            raise BlockedError(reason)
        sock = socket.socket(family, kind, protocol)
        current_trace.get().sockets.append(sock)
        return sock


def _is_assigned_here(address: str) -> bool:
    # Only an address of this machine can be bound; asking the kernel is never out of date.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


class PolicyResolver(AbstractResolver):
    """Resolves names without threads (c-ares; /etc/hosts included) and drops the addresses the policy forbids.

    A name with no allowed address raises BlockedError; one that cannot be resolved raises OSError.
    """

    def __init__(self, gate: Gate, nameservers: Sequence[str] = ()) -> None:
        self._gate = gate
        # Without nameservers c-ares reads /etc/resolv.conf, and asks 127.0.0.1 where there is none.
        self._resolver = AsyncResolver(nameservers=list(nameservers) or None, timeout=1.0, tries=3)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The allowed addresses of `host`, at most eight."""
        trace = current_trace.get()
        trace.resolving = True
        try:
            found = await self._resolver.resolve(host, port, family)
        except ValueError as error:
            raise OSError(None, "not a resolvable name") from error
        trace.resolving = False
        allowed = [result for result in found if self._gate.refusal(result["host"], port) is None]
        if not allowed:
            # Which addresses these are is not for whoever chose the name: it may ask about an inner network.
            raise BlockedError("the name leads only to addresses that policy forbids")
        return allowed[:MAX_ADDRESSES]

    async def close(self) -> None:
        """Give up what is being looked up."""
        await self._resolver.close()


class BoundedConnection(ResponseHandler):
    """aiohttp's client connection with a limit on what comes before a response head.

    aiohttp alone reads interim (1xx) answers for ever, and keeps in its pool a connection on which an answer came that
    nobody asked for, to be taken for the answer of the next request.
    """

    def __init__(self, open_connections: set[BoundedConnection], max_idle: int) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.use_count = 0
        self.head_bytes = 0
        self._head_pending = False
        self._interim_count = 0
        self._open_connections = open_connections
        self._max_idle = max_idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open_connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open_connections.discard(self)
        super().connection_lost(exc)

    async def exchange(self, wire: bytes) -> tuple[RawResponseMessage, StreamReader]:
        """Send a request, wait for the final response head; the body follows in the stream.

        Raises aiohttp's ClientConnectionError where the connection ends before, HttpProcessingError where what comes
        is no HTTP. Whatever is raised, the connection is then good for nothing but to be closed.
        """
        self._begin()
        transport = self.transport
        if transport is None:
            raise ServerDisconnectedError
        transport.write(wire)
        while True:
            message, body = await self.read()
            if not self._is_interim(message.code):
                return message, body

    def has_sent_all(self) -> bool:
        """Whether the whole request has left: an answer may come before its request was read."""
        transport = self.transport
        return transport is not None and transport.get_write_buffer_size() == 0

    def _begin(self) -> None:
        self.use_count += 1
        self.head_bytes = 0
        self._interim_count = 0
        self._head_pending = True
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
        )
        # aiohttp's pool has no limit for idle connections: with many open, none is kept after its answer.
        if len(self._open_connections) > self._max_idle:
            self.force_close()

    @staticmethod
    def _is_interim(status: int) -> bool:
        # 101 is a final answer (RFC 9110, section 15.2.2), and one that nobody asked for.
        return 100 <= status < 200 and status != 101

    def data_received(self, data: bytes) -> None:
        if not self._head_pending:
            # Also with no data at all: so aiohttp resumes a parser that it had paused.
            super().data_received(data)
            return
        while self._head_pending and data:
            # One head at a time: the parser forgets a complete head when what follows in the same read is broken, and
            # makes an object of each of a thousand interim answers before it can be stopped.
            blank = data.find(b"\r\n\r\n", 0, READ_SLICE_BYTES)
            cut = READ_SLICE_BYTES if blank < 0 else blank + 4
            piece, data = data[:cut], data[cut:]
            self.head_bytes += len(piece)
            super().data_received(piece)
            if self.transport is None or self.transport.is_closing():
                return
            if self._head_pending and self._is_head_endless():
                self._give_up("the response head does not end")
                return
        if data:
            super().data_received(data)

    def _is_head_endless(self) -> bool:
        return self.head_bytes >= MAX_HEAD_BYTES or self._interim_count > MAX_INTERIM_COUNT

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take one parsed head, of an interim or of the final answer."""
        if not self._head_pending:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        if self._is_interim(data[0].code):
            self._interim_count += 1
        else:
            self._head_pending = False
        super().feed_data(data, size)

    def _give_up(self, reason: str) -> None:
        self.set_exception(HttpProcessingError(code=400, message=reason))
        if self.transport is not None:
            self.transport.abort()


def open_connector(gate: Gate, resolver: AbstractResolver, *, tls: ssl.SSLContext, max_idle: int) -> TCPConnector:
    """A connector that asks the gate at every connect. The caller bounds how many requests run at once."""
    connector = TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        ssl=tls,
        limit=0,
        socket_factory=gate.open_socket,
    )
    # aiohttp offers no public way to bring one's own connection class; a test holds this to work.
    connection_class: Any = functools.partial(BoundedConnection, set(), max_idle)
    connector._factory = connection_class
    return connector
