"""Every door of a running server and its Asterisk is knocked at: nobody gets in who was not meant to."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.acceptance.test_phone_call import PhoneServer, wait_for

EVIL = {"Origin": "http://evil.example"}
PATHS = (
    *("/", "/ws", "/httpstatus", "/static/index.html", "/manager", "/amanager", "/rawman", "/mxml", "/phoneprov/x"),
    *("/uploads", "/media", "/metrics", "/ari/channels", "/ari/events?app=offhook", "/ari/api-docs/resources.json"),
)
PROTOCOLS = ("sip", "ari", "echo", "media")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneServer]:
    server = PhoneServer(tmp_path_factory.mktemp("doors") / "data")
    server.start()
    yield server
    assert server.stop() == 0


def invite(number: int, where: str, transport: str) -> bytes:
    """A SIP call (RFC 3261) from a stranger."""
    sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 16000 RTP/AVP 0\r\n"
    return (
        f"INVITE sip:100@{where} SIP/2.0\r\nVia: SIP/2.0/{transport} evil.example;branch=z9hG4bK{number};rport\r\n"
        f"From: <sip:local@evil.example>;tag={number}\r\nTo: <sip:100@{where}>\r\nCall-ID: evil-{number}\r\n"
        f"CSeq: 1 INVITE\r\nContact: <sip:evil@127.0.0.1:9>\r\nMax-Forwards: 70\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
    ).encode()


def doors(pid: int, kind: str) -> list[tuple[str, int]]:
    """Where a process can be reached, out of proc(5): address and port of each socket that is not connected."""
    own = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    state = {"tcp": "0A", "udp": "07"}[kind]
    found = []
    for table, family, words in ((kind, socket.AF_INET, 1), (f"{kind}6", socket.AF_INET6, 4)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and f"socket:[{fields[9]}]" in own:
                address, port = fields[1].split(":")
                packed = b"".join(struct.pack("=I", int(word, 16)) for word in re.findall("." * 8, address))
                assert len(packed) == words * 4
                found.append((socket.inet_ntop(family, packed), int(port, 16)))
    return found


async def call_over_websocket(url: str, protocol: str) -> int:
    """Place a call as a web page can; the status of the handshake."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as page,
            page.ws_connect(url, protocols=[protocol], headers=EVIL, timeout=aiohttp.ClientWSTimeout(ws_close=1)) as ws,
        ):
            await ws.send_bytes(invite(1, "127.0.0.1", "WS"))
            await ws.receive(timeout=5)
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


async def post_a_form(port: int) -> bytes:
    """Send what a web page can with a POST to any port: its body is SIP, after more than a stack has room for."""
    body = (
        b"x: y\r\n" * 20_000
        + b"Content-Length: 0\r\n\r\n"
        + b"".join(invite(number, f"127.0.0.1:{port}", "TCP") for number in range(5))
    )
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/plain\r\nOrigin: http://evil.example\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(3):
            return await reader.read(65_536)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


async def statuses(port: int) -> dict[str, int]:
    """What HTTP answers there to a foreign page, by path."""
    async with aiohttp.ClientSession(headers=EVIL) as page:
        return {path: (await page.get(f"http://127.0.0.1:{port}{path}")).status for path in PATHS}


def heard_from(host: str, port: int) -> bytes:
    """What comes back from a UDP port for a call."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    with socket.socket(family, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(0.5)
        try:
            stranger.sendto(invite(port, f"{there}:{port}", "UDP"), (there, port))
            return stranger.recv(65_536)
        except (TimeoutError, ConnectionError):
            return b""


@pytest.mark.parametrize("way", ["over a websocket", "by a form"])
def test_a_web_page_cannot_place_a_call(server: PhoneServer, tmp_path: Path, way: str) -> None:
    before = len(calls_of(server))
    ports = [port for _, port in doors(server.asterisk_pid(), "tcp")]
    assert ports
    for port in ports:
        if way == "by a form":
            asyncio.run(post_a_form(port))
        else:
            asyncio.run(call_over_websocket(f"ws://127.0.0.1:{port}/ws", "sip"))
    # One that is meant, after which any other has been told too.
    assert server.dial(tmp_path).wait(40) == 0
    wait_until(lambda: len(calls_of(server)) > before, "the call is there")
    assert [call for call in calls_of(server) if call["source"]["target"] == "local"] == []


def test_nobody_gets_in_at_any_port(server: PhoneServer, receiver: Receiver, tmp_path: Path) -> None:
    before = len(calls_of(server))
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    phone = server.dial(tmp_path, talk_s=30)
    wait_for(receiver, "call_answered")  # so that the ports for voice are open, too
    assert server.process is not None
    api, asterisk = server.process.pid, server.asterisk_pid()
    (ari,) = doors(asterisk, "tcp")
    assert doors(api, "tcp") == [("127.0.0.1", server.port)]
    assert ari[0] == "127.0.0.1"
    prefix = (server.data / "asterisk" / "prefix").read_text()
    for port in (server.port, ari[1]):
        knocks = [call_over_websocket(f"ws://127.0.0.1:{port}{path}", name) for path in PATHS for name in PROTOCOLS]
        assert 101 not in asyncio.run(together(knocks))
        assert b"SIP/2.0" not in asyncio.run(post_a_form(port))
    # Nor does one who knows the prefix. (`echo` is Asterisk's own, cannot be left out, and says what it was told.)
    knocks = [
        call_over_websocket(f"ws://127.0.0.1:{ari[1]}/{prefix}{path}", name)
        for path in ("/ws", "/ari/events?app=offhook")
        for name in PROTOCOLS
        if (path, name) != ("/ws", "echo")
    ]
    assert asyncio.run(together(knocks)) == [400] * 3 + [401] * 4
    assert set(asyncio.run(statuses(ari[1])).values()) == {404}
    sip = ("127.0.0.1", int(server.sip.rpartition(":")[2]))
    voice = [door for pid in (api, asterisk) for door in doors(pid, "udp") if door != sip]
    assert len(voice) >= 2
    assert {door: heard_from(*door) for door in voice} == dict.fromkeys(voice, b"")
    for host, port in voice:
        # Answers of DNS (RFC 5452) are all that may come from elsewhere.
        assert host == "127.0.0.1" or not 20_000 <= port <= 29_999
    phone.kill()
    phone.wait()
    assert len(calls_of(server)) == before + 1


def calls_of(server: PhoneServer) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = server.ask("GET", "/v1.0/calls")["result"]
    return calls


async def together(knocks: list[Coroutine[None, None, int]]) -> list[int]:
    """All of them at once."""
    return await asyncio.gather(*knocks)
