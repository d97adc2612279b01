"""Whatever a receiver does, the attempt ends within its deadline, in bounded memory, with its own outcome."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import time
import tracemalloc
import warnings
from collections.abc import Callable

import pytest
import trustme

from offhook.domain.delivery.outcome import Outcome
from offhook.outbound.http import HttpSender
from offhook.outbound.port import AttemptResult, OutgoingRequest

from .conftest import TIMEOUT_S, Behaviour, Peer, client_tls, naming, open_sender, post, receiving, server_tls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def attempt(sender: HttpSender, request: OutgoingRequest) -> AttemptResult:
    """One attempt, held to the deadline and to 8 MiB."""
    tracemalloc.start()
    started = time.monotonic()
    try:
        result = await sender.send(request)
        taken_s, (_, peak_bytes) = time.monotonic() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Tracing every allocation slows a flood of tiny chunks several times over; a hang would take for ever.
    assert taken_s < TIMEOUT_S + 5.0
    assert peak_bytes < 8 * 2**20
    return result


async def hang_before_head(peer: Peer) -> None:
    await peer.request()
    await peer.hang()


async def drip_head(peer: Peer) -> None:
    await peer.request()
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" * 100:
        await peer.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def huge_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nX-Huge: ")
    while True:
        await peer.send(b"a" * 65_536)


async def endless_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"X-More: " + b"b" * 1000 + b"\r\n")


async def endless_interim(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 4096)


async def old_text(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"<html>hello, this is HTTP/0.9</html>\n")


async def binary(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" * 100)


async def echo(peer: Peer) -> None:
    await peer.send(await peer.request())


async def echo_in_status(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 " + await peer.request())


async def echo_in_field(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\n" + await peer.request())


async def switch_protocols(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + b"z" * 9999)
    await peer.hang()


async def close_before_head(peer: Peer) -> None:
    await peer.request()


async def close_within_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def reset_before_head(peer: Peer) -> None:
    await peer.request()
    peer.reset()


@pytest.mark.parametrize(
    ("behave", "outcome"),
    [
        (hang_before_head, Outcome.TIMEOUT_RESPONSE),
        (drip_head, Outcome.TIMEOUT_RESPONSE),
        (huge_headers, Outcome.MALFORMED),
        (endless_headers, Outcome.MALFORMED),
        (endless_interim, Outcome.MALFORMED),
        (old_text, Outcome.MALFORMED),
        (binary, Outcome.MALFORMED),
        (echo, Outcome.MALFORMED),
        (echo_in_status, Outcome.MALFORMED),
        (echo_in_field, Outcome.MALFORMED),
        (close_before_head, Outcome.RESET),
        (close_within_head, Outcome.RESET),
        (reset_before_head, Outcome.RESET),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_without_a_head_the_failure_has_its_name(behave: Behaviour, outcome: Outcome) -> None:
    async with receiving(behave) as receiver, open_sender() as sender:
        result = await attempt(sender, post(receiver.uri("/hook?token=geheim")))
        assert result.outcome is outcome
        assert result.status_code is None
        assert result.response == b""
        assert "geheim" not in result.detail
        assert result.detail
        assert receiver.connection_count == 1


async def test_of_a_name_and_a_port_that_nobody_has_the_reason_says_which() -> None:
    async with open_sender() as sender:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        result = await attempt(sender, post(f"http://127.0.0.1:{port}/hook?token=geheim"))
        assert (result.outcome, result.detail) == (Outcome.REFUSED, f"nothing listens on 127.0.0.1:{port}")
        result = await attempt(sender, post(f"http://[::1]:{port}/hook?token=geheim"))
        assert f"[::1]:{port}" in result.detail
        assert "geheim" not in result.detail


async def endless_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.send(b"c" * 65_536)


async def drip_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
    await peer.hang()


async def endless_chunks(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\nx\r\n" * 4096)


async def reset_after_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
    peer.reset()


async def broken_chunks(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n")
    await peer.hang()


# Made ahead: it takes most of a second, and the sender's time runs.
BOMB = gzip.compress(bytes(40 * 2**20))


async def gzip_bomb(peer: Peer) -> None:
    await peer.request()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n".encode()
    await peer.send(head + BOMB)
    await peer.hang()


@pytest.mark.parametrize(
    "behave",
    [endless_body, drip_body, endless_chunks, reset_after_head, broken_chunks],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_once_the_head_is_there_it_decides(behave: Behaviour) -> None:
    async with receiving(behave) as receiver, open_sender() as sender:
        result = await attempt(sender, post(receiver.uri()))
        assert result.outcome is Outcome.SUCCEEDED
        assert result.status_code == 200
        assert len(result.response) <= 4096
        # The connection was left: the next attempt makes a new one.
        await sender.send(post(receiver.uri()))
        assert receiver.connection_count == 2


async def test_a_gzip_bomb_is_not_inflated() -> None:
    async with receiving(gzip_bomb) as receiver, open_sender() as sender:
        result = await sender.send(post(receiver.uri()))
        assert result.outcome is Outcome.SUCCEEDED
        assert result.response.startswith(b"\x1f\x8b")
        assert len(result.response) == 4096


async def test_switching_protocols_is_no_answer() -> None:
    async with receiving(switch_protocols) as receiver, open_sender() as sender:
        result = await attempt(sender, post(receiver.uri()))
        assert (result.outcome, result.status_code) == (Outcome.MALFORMED, 101)


async def test_a_few_interim_answers_are_passed_over() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + OK)
        await peer.hang()

    async with receiving(behave) as receiver, open_sender() as sender:
        assert (await attempt(sender, post(receiver.uri()))).status_code == 200


async def test_a_redirect_is_an_outcome_and_is_not_followed() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 307 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
        await peer.hang()

    async with receiving(behave) as receiver, open_sender() as sender:
        result = await attempt(sender, post(receiver.uri()))
        assert (result.outcome, result.status_code) == (Outcome.REDIRECT, 307)
        assert receiver.connection_count == 1


async def test_nobody_listening_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        async with open_sender() as sender:
            assert (await attempt(sender, post(uri))).outcome is Outcome.REFUSED


async def test_a_full_backlog_is_a_connect_timeout() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(deaf.getsockname())
            async with open_sender() as sender:
                result = await attempt(sender, post(f"http://127.0.0.1:{deaf.getsockname()[1]}/"))
                assert result.outcome is Outcome.TIMEOUT_CONNECT
        finally:
            for filler in fillers:
                filler.close()


async def test_a_silent_tls_server_is_a_tls_timeout(authority: trustme.CA) -> None:
    async with receiving(Peer.hang) as receiver, open_sender(extra_ca=client_tls(authority)) as sender:
        result = await attempt(sender, post(f"https://127.0.0.1:{receiver.port}/"))
        assert result.outcome is Outcome.TIMEOUT_TLS


async def answer_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


async def test_a_trusted_server_is_reached_by_name_over_tls(authority: trustme.CA) -> None:
    tls = server_tls(authority, "localhost")
    seen: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: seen.append(name)
    async with receiving(answer_ok, tls=tls) as receiver, open_sender(extra_ca=client_tls(authority)) as sender:
        result = await sender.send(post(receiver.uri(host="localhost")))
        assert result.outcome is Outcome.SUCCEEDED, result.detail
        assert seen == ["localhost"]


async def test_a_certificate_for_another_name_is_a_tls_failure(authority: trustme.CA) -> None:
    tls = server_tls(authority, "other.example")
    async with receiving(answer_ok, tls=tls) as receiver, open_sender(extra_ca=client_tls(authority)) as sender:
        result = await attempt(sender, post(receiver.uri(host="localhost")))
        assert result.outcome is Outcome.TLS
        assert "mismatch" in result.detail.lower()


async def test_an_unknown_authority_is_a_tls_failure(authority: trustme.CA) -> None:
    async with receiving(answer_ok, tls=server_tls(authority, "localhost")) as receiver, open_sender() as sender:
        result = await sender.send(post(receiver.uri(host="localhost")))
        assert result.outcome is Outcome.TLS
        assert result.detail.startswith("certificate: ")


def refuse_handshake(listener: socket.socket, tls: ssl.SSLContext) -> None:
    """Serve one connection; asyncio's own server would drop the alert that says why."""
    connection, _ = listener.accept()
    # Kept open beside the one that the failing handshake closes: a reset could overtake the alert.
    with connection.dup() as kept:
        with contextlib.suppress(ssl.SSLError):
            tls.wrap_socket(connection, server_side=True)
        kept.shutdown(socket.SHUT_WR)
        while kept.recv(4096):
            pass


def too_old(tls: ssl.SSLContext) -> None:
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1


def wants_certificate(tls: ssl.SSLContext) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED


@pytest.mark.parametrize("demand", [too_old, wants_certificate])
async def test_a_server_that_refuses_our_handshake_is_a_tls_failure(
    authority: trustme.CA, demand: Callable[[ssl.SSLContext], None]
) -> None:
    tls = server_tls(authority, "localhost")
    demand(tls)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(refuse_handshake, listener, tls))
        async with open_sender(extra_ca=client_tls(authority)) as sender:
            result = await attempt(sender, post(f"https://localhost:{listener.getsockname()[1]}/"))
        await serving
    assert result.outcome is Outcome.TLS, result.detail


async def test_plain_http_on_a_tls_port_is_a_tls_failure(authority: trustme.CA) -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with receiving(behave) as receiver, open_sender(extra_ca=client_tls(authority)) as sender:
        assert (await attempt(sender, post(f"https://localhost:{receiver.port}/"))).outcome is Outcome.TLS


async def test_a_connection_closed_during_the_handshake_is_reset(authority: trustme.CA) -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    async with receiving(behave) as receiver, open_sender(extra_ca=client_tls(authority)) as sender:
        assert (await attempt(sender, post(f"https://localhost:{receiver.port}/"))).outcome is Outcome.RESET


async def test_an_unresolved_name_is_dns() -> None:
    async with naming(None) as names, open_sender(nameservers=(names.address,)) as sender:
        result = await attempt(sender, post("http://slow.example/?token=geheim"))
        assert result.outcome is Outcome.DNS
        assert "in time" in result.detail


async def test_a_name_without_addresses_is_dns() -> None:
    async with naming([]) as names, open_sender(nameservers=(names.address,)) as sender:
        assert (await attempt(sender, post("http://none.example/"))).outcome is Outcome.DNS


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..example", "ex_am-ple..", "256.1.1.1", "1.2.3.4.5", "*"])
async def test_a_name_that_cannot_be_is_dns(host: str) -> None:
    async with naming([]) as names, open_sender(nameservers=(names.address,)) as sender:
        assert (await attempt(sender, post(f"http://{host}/"))).outcome in {Outcome.DNS, Outcome.BLOCKED}


async def test_slow_names_hold_nobody_up() -> None:
    async with (
        naming(None) as names,
        receiving(answer_ok) as receiver,
        open_sender(nameservers=(names.address,), timeout_s=20.0, max_connections=300) as sender,
        asyncio.TaskGroup() as group,
    ):
        slow = [group.create_task(sender.send(post(f"http://slow-{n}.example/"))) for n in range(200)]
        started = time.monotonic()
        assert (await sender.send(post(receiver.uri()))).outcome is Outcome.SUCCEEDED
        assert time.monotonic() - started < 10.0
        for task in slow:
            task.cancel()
