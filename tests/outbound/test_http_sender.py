"""What leaves this machine, over which connections, and to which addresses."""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import ip_network

import pytest

from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.outcome import Outcome
from offhook.outbound.target import parse_uri

from .conftest import LOOPBACK, Peer, naming, open_sender, post, receiving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
METHODS = ["POST", "PUT", "GET", "DELETE"]


async def answer_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


@pytest.mark.parametrize("method", METHODS)
async def test_exactly_the_request_is_sent(method: str) -> None:
    seen: list[bytes] = []

    async def behave(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(OK)

    body = b'{"type":"call_created","data":{"name":"\xc3\xa9"}}'
    async with receiving(behave) as receiver, open_sender() as sender:
        result = await sender.send(post(receiver.uri("/a/../b%7e%2F?q=%20+&x=1;y=[]"), method=method, body=body))
    assert (result.outcome, result.status_code, result.response) == (Outcome.SUCCEEDED, 200, b"{}")
    head, _, sent_body = seen[0].partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    assert line == f"{method} /a/../b%7e%2F?q=%20+&x=1;y=[] HTTP/1.1"
    assert sorted(fields) == sorted(
        [
            f"Host: 127.0.0.1:{receiver.port}",
            "Content-Type: application/json",
            "User-Agent: Offhook/test",
            "webhook-id: evt_1",
            "Accept-Encoding: identity",
            f"Content-Length: {len(body)}",
        ]
    )
    assert sent_body == body


def test_a_uri_no_request_line_can_carry_is_quoted() -> None:
    url = parse_uri("http://b\u00fccher.example/a b\r\nX: y")
    assert url.raw_host == "xn--bcher-kva.example"
    assert not set(url.raw_path_qs) & set(" \r\n")


async def test_a_quarter_mebibyte_event_goes_out_whole() -> None:
    seen: list[int] = []

    async def behave(peer: Peer) -> None:
        seen.append(len(await peer.request()))
        await peer.send(OK)

    async with receiving(behave) as receiver, open_sender(timeout_s=5) as sender:
        assert (await sender.send(post(receiver.uri(), body=b"x" * 262_144))).outcome is Outcome.SUCCEEDED
    assert seen[0] > 262_144


async def test_connections_are_kept_and_cookies_are_not() -> None:
    seen: list[bytes] = []

    async def behave(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 5000\r\n\r\n" + b"d" * 5000)

    async with receiving(behave) as receiver, open_sender() as sender:
        results = [await sender.send(post(receiver.uri())) for _ in range(3)]
        assert receiver.connection_count == 1
    assert [len(result.response) for result in results] == [4096] * 3
    assert not any(b"cookie" in request.lower() for request in seen)


async def test_a_long_body_costs_the_connection() -> None:
    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"e" * 200_000)

    async with receiving(behave) as receiver, open_sender(timeout_s=5) as sender:
        for _ in range(2):
            assert (await sender.send(post(receiver.uri()))).outcome is Outcome.SUCCEEDED
        assert receiver.connection_count == 2


@pytest.mark.parametrize(
    ("head", "outcome", "wait_s"),
    [
        (b"503 x\r\nRetry-After: 7", Outcome.THROTTLED, 7),
        (b"503 x", Outcome.SERVER_ERROR, None),
        (b"429 x\r\nRetry-After: 99999", Outcome.THROTTLED, 3600),
        (b"410 x", Outcome.GONE, None),
        (b"999 x", Outcome.MALFORMED, None),
        (b"204 x", Outcome.SUCCEEDED, None),
    ],
)
async def test_the_head_is_told(head: bytes, outcome: Outcome, wait_s: int | None) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 " + head + (b"" if b"204" in head else b"\r\nContent-Length: 0") + b"\r\n\r\n")
        await peer.hang()

    async with receiving(behave) as receiver, open_sender() as sender:
        result = await sender.send(post(receiver.uri()))
    assert (result.outcome, result.status_code) == (outcome, int(head[:3]))
    assert (result.retry_after.total_seconds() if result.retry_after else None) == wait_s


@pytest.mark.parametrize("method", METHODS)
async def test_a_kept_connection_that_dies_is_replaced_once(method: str) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        if peer.number == 3:
            await peer.send(OK)
        elif peer.number < 3:
            await peer.send(OK)
            # Dies only when the next request is there: the sender cannot have known.
            await peer.request()
            peer.reset()

    async with receiving(behave) as receiver, open_sender() as sender:
        # Two kept connections, so that a repetition over the pool would meet a dead one again.
        await asyncio.gather(*(sender.send(post(receiver.uri(), method=method)) for _ in range(2)))
        assert receiver.connection_count == 2
        result = await sender.send(post(receiver.uri(), method=method))
        assert result.outcome is Outcome.SUCCEEDED, result.detail
        assert receiver.connection_count == 3


@pytest.mark.parametrize("method", METHODS)
async def test_the_replacement_is_not_replaced(method: str) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(OK)
            await peer.request()

    async with receiving(behave) as receiver, open_sender() as sender:
        assert (await sender.send(post(receiver.uri(), method=method))).outcome is Outcome.SUCCEEDED
        assert (await sender.send(post(receiver.uri(), method=method))).outcome is Outcome.RESET
        assert receiver.connection_count == 2


async def test_a_kept_connection_that_began_to_answer_is_not_replaced() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(b"HTTP/1.1 20")

    async with receiving(behave) as receiver, open_sender() as sender:
        await sender.send(post(receiver.uri()))
        assert (await sender.send(post(receiver.uri()))).outcome is Outcome.RESET
        assert receiver.connection_count == 1


async def test_an_answer_nobody_asked_for_is_not_taken_for_the_next() -> None:
    sent_more = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        if peer.number > 1:
            await peer.send(OK)
            return
        await peer.send(OK)
        await peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        sent_more.set()
        await peer.hang()

    async with receiving(behave) as receiver, open_sender() as sender:
        await sender.send(post(receiver.uri()))
        await sent_more.wait()
        assert (await sender.send(post(receiver.uri()))).status_code == 200


async def test_idle_connections_are_bounded() -> None:
    async with receiving(answer_ok) as first, receiving(answer_ok) as second, open_sender(max_connections=4) as sender:
        for receiver in (first, second):
            await asyncio.gather(*(sender.send(post(receiver.uri())) for _ in range(12)))
        assert len(first.tasks) + len(second.tasks) <= 8


async def test_waiting_for_a_free_connection_does_not_count() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.2)
        await peer.send(OK)

    async with receiving(behave) as receiver, open_sender(max_connections=1) as sender:
        results = await asyncio.gather(*(sender.send(post(receiver.uri())) for _ in range(4)))
    assert {result.outcome for result in results} == {Outcome.SUCCEEDED}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"],
)
async def test_loopback_is_refused_at_the_connect_however_it_is_spelled(host: str) -> None:
    async with receiving(answer_ok) as receiver, open_sender(NetworkPolicy()) as sender:
        result = await sender.send(post(receiver.uri(host=host)))
        assert (result.outcome, result.status_code) == (Outcome.BLOCKED, None)
        assert receiver.connection_count == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "127.0.0.1."])
async def test_an_allowed_address_is_reached_however_it_is_spelled(host: str) -> None:
    async with receiving(answer_ok) as receiver, open_sender() as sender:
        result = await sender.send(post(receiver.uri(host=host)))
        assert result.outcome is Outcome.SUCCEEDED, result.detail


async def test_a_name_that_answers_differently_the_second_time_is_caught() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    policy = NetworkPolicy(allowed=(ip_network("127.0.0.2/32"),))
    async with (
        naming(["127.0.0.2"], ["127.0.0.1"]) as names,
        receiving(behave, host="127.0.0.2") as receiver,
        open_sender(policy, nameservers=(names.address,)) as sender,
    ):
        uri = receiver.uri(host="rebind.example")
        assert (await sender.send(post(uri))).outcome is Outcome.SUCCEEDED
        result = await sender.send(post(uri))
        assert result.outcome is Outcome.BLOCKED
        assert "127" not in result.detail


async def test_of_several_addresses_only_the_allowed_are_tried() -> None:
    policy = NetworkPolicy(allowed=(ip_network("127.0.0.2/32"),))
    async with (
        naming(["127.0.0.1", "10.0.0.1", "127.0.0.2"]) as names,
        receiving(answer_ok, host="127.0.0.2") as receiver,
        open_sender(policy, nameservers=(names.address,)) as sender,
    ):
        assert (await sender.send(post(receiver.uri(host="mixed.example")))).outcome is Outcome.SUCCEEDED


def outward_address() -> str:
    """The address that this machine has towards others; loopback if it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def test_own_ports_are_refused_on_every_address_of_this_machine() -> None:
    async with receiving(answer_ok, host="0.0.0.0") as receiver:
        policy = NetworkPolicy(
            allow_loopback=True, allowed=(ip_network("0.0.0.0/0"),), own_ports=frozenset({receiver.port})
        )
        hosts = {"127.0.0.1", "0.0.0.0", "localhost", socket.gethostbyname(socket.gethostname()), outward_address()}
        async with open_sender(policy) as sender:
            for host in hosts:
                assert (await sender.send(post(receiver.uri(host=host)))).outcome is Outcome.BLOCKED
        assert receiver.connection_count == 0


async def test_a_redirect_to_loopback_is_not_followed() -> None:
    async with receiving(answer_ok) as inner:

        async def behave(peer: Peer) -> None:
            await peer.request()
            location = inner.uri().encode()
            await peer.send(b"HTTP/1.1 302 x\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")

        policy = NetworkPolicy(allowed=(ip_network("127.0.0.2/32"),))
        async with receiving(behave, host="127.0.0.2") as receiver, open_sender(policy) as sender:
            result = await sender.send(post(receiver.uri(host="127.0.0.2")))
        assert result.outcome is Outcome.REDIRECT
        assert inner.connection_count == 0


def open_sockets() -> int:
    return sum("socket:" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _exists(fd))


def _exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


async def test_cancelled_attempts_leave_no_connection() -> None:
    async def hang(peer: Peer) -> None:
        await peer.request()
        await peer.hang()

    async with receiving(hang) as receiver, open_sender(timeout_s=10) as sender:
        attempts = [asyncio.create_task(sender.send(post(receiver.uri()))) for _ in range(10)]
        async with asyncio.timeout(5):
            while receiver.connection_count < 10:
                await asyncio.sleep(0.01)
        for attempt in attempts:
            attempt.cancel()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        for task in tuple(receiver.tasks):
            task.cancel()
        async with asyncio.timeout(5):
            while receiver.tasks or open_sockets() > 8:
                await asyncio.sleep(0.01)


async def test_closing_twice_is_harmless() -> None:
    async with open_sender(LOOPBACK) as sender:
        await sender.close()


@pytest.mark.parametrize(
    "uri", ["http:///nohost", "ftp://127.0.0.1/", "/relative", "http://[::zz]/", "http://h:99999/"]
)
async def test_what_is_no_callable_uri_is_an_outcome_too(uri: str) -> None:
    async with open_sender() as sender:
        assert (await sender.send(post(uri))).outcome is Outcome.BLOCKED
