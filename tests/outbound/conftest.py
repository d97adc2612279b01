"""Receivers that behave as a test tells them, and a name server that answers what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
import trustme
import uvloop

from offhook.domain.delivery.networks import NetworkPolicy
from offhook.outbound.http import HttpSender
from offhook.outbound.port import HeaderFields, OutgoingRequest

TIMEOUT_S = 0.4
LOOPBACK = NetworkPolicy(allow_loopback=True)


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy(), uvloop.EventLoopPolicy()], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Errors come in other shapes from uvloop, on which the server runs; the names must be the same."""
    policy: asyncio.AbstractEventLoopPolicy = request.param
    return policy


@contextlib.asynccontextmanager
async def open_sender(
    policy: NetworkPolicy = LOOPBACK,
    *,
    timeout_s: float = TIMEOUT_S,
    max_connections: int = 50,
    extra_ca: ssl.SSLContext | None = None,
    nameservers: Sequence[str] = (),
) -> AsyncIterator[HttpSender]:
    sender = HttpSender(
        policy,
        timeout=timedelta(seconds=timeout_s),
        max_connections=max_connections,
        extra_ca=extra_ca,
        nameservers=nameservers,
    )
    try:
        yield sender
    finally:
        await sender.close()


def post(uri: str, *, method: str = "POST", body: bytes = b'{"type":"x","data":{}}') -> OutgoingRequest:
    headers = {"Content-Type": "application/json", "User-Agent": "Offhook/test", "webhook-id": "evt_1"}
    return OutgoingRequest(method=method, uri=uri, headers=HeaderFields.of(headers), body=body)


class Peer:
    """One connection at the receiver."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader, self.writer, self.number = reader, writer, number

    async def request(self) -> bytes:
        """The next request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with a RST."""
        self.writer.transport.abort()

    async def hang(self) -> None:
        await asyncio.Event().wait()


Behaviour = Callable[[Peer], Awaitable[None]]
"""What a receiver does with one connection."""


class Receiver:
    """A server that treats every connection as `behave` says."""

    def __init__(self, behave: Behaviour, scheme: str) -> None:
        self.behave, self.scheme = behave, scheme
        self.port = 0
        self.connection_count = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def uri(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connection_count += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.behave(Peer(reader, writer, self.connection_count))
        except asyncio.CancelledError:
            pass
        finally:
            self.tasks.discard(task)
            writer.close()


@contextlib.asynccontextmanager
async def receiving(
    behave: Behaviour, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(behave, "https" if tls else "http")
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(receiver.tasks):
            task.cancel()


class NameServer(asyncio.DatagramProtocol):
    """Answers A questions with one list of addresses after another, the last one for ever; None: no answer."""

    def __init__(self, answers: Sequence[Sequence[str] | None]) -> None:
        self.answers = list(answers)
        self.address = ""

    def open(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport
        host, port = transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        question_end = data.index(b"\0", 12) + 5
        question = data[12:question_end]
        is_a = question[-4:-2] == b"\0\1"
        addresses = self.answers[0]
        if is_a and len(self.answers) > 1:
            self.answers.pop(0)
        if addresses is None:
            return
        records = [
            b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + ipaddress.IPv4Address(address).packed for address in addresses if is_a
        ]
        counts = b"\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0\0"
        self.transport.sendto(data[:2] + b"\x85\x80" + counts + question + b"".join(records), peer)


@contextlib.asynccontextmanager
async def naming(*answers: Sequence[str] | None) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: NameServer(answers), ("127.0.0.1", 0))
    server.open(transport)
    try:
        yield server
    finally:
        transport.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
