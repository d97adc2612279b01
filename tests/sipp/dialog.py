"""A phone made by hand, for what SIPp cannot say: one dialog that names another, a request that gets no answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator

from offhook.domain.ids import new_uuid

_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 16000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


class Dialog:
    """One call from here to `switch` (HOST:PORT)."""

    def __init__(self, socket_: socket.socket, switch: str) -> None:
        self._socket = socket_
        self._switch = switch
        self._call_id = new_uuid()
        self._to = f"<sip:100@{switch}>"
        self._sequence = 0

    @property
    def replaces(self) -> str:
        """The header with which another call asks to take the place of this one (RFC 3891)."""
        to_tag = self._to.partition(";tag=")[2]
        return f"Replaces: {self._call_id};to-tag={to_tag};from-tag=here\r\n"

    async def invite(self, headers: str = "", rtp_port: int = 16_000) -> list[int]:
        """Call, and acknowledge the answer. The codes that came, without 100."""
        body = _SDP.replace("16000", str(rtp_port))
        number = self.send("INVITE", f"{headers}Content-Type: application/sdp\r\n", body)
        codes: list[int] = []
        while not codes or codes[-1] < 200:
            code, answer = await self._answer(number)
            if code > 100:
                codes.append(code)
        to = re.search(r"\r\nTo: (.*)\r\n", answer)
        assert to is not None
        self._to = to[1]
        self._write("ACK", number, "", "")
        return codes

    def send(self, method: str, headers: str = "", body: str = "") -> int:
        """Send a request without waiting for what it gets. Its number."""
        self._sequence += 1
        self._write(method, self._sequence, headers, body)
        return self._sequence

    async def ask(self, method: str) -> int:
        """Send a request; the code of its answer."""
        code, _ = await self._answer(self.send(method))
        return code

    async def type(self, digit: str) -> int:
        """Type a digit, by INFO; the code of its answer."""
        headers = "Content-Type: application/dtmf-relay\r\n"
        code, _ = await self._answer(self.send("INFO", headers, f"Signal={digit}\r\nDuration=100\r\n"))
        return code

    async def _answer(self, number: int) -> tuple[int, str]:
        async with asyncio.timeout(15):
            while True:
                text = (await asyncio.get_running_loop().sock_recv(self._socket, 8192)).decode()
                if text.startswith("SIP/2.0 ") and self._call_id in text and f"\r\nCSeq: {number} " in text:
                    return int(text.split()[1]), text

    def _write(self, method: str, number: int, headers: str, body: str) -> None:
        host, port = self._socket.getsockname()
        self._socket.send(
            f"{method} sip:100@{self._switch} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self._call_id}{number}{method}\r\n"
            f"From: <sip:+15550100123@{host}>;tag=here\r\nTo: {self._to}\r\nCall-ID: {self._call_id}\r\n"
            f"CSeq: {number} {method}\r\nContact: <sip:me@{host}:{port}>\r\nMax-Forwards: 70\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )


@contextlib.contextmanager
def dialogs(switch: str, count: int) -> Iterator[list[Dialog]]:
    """As many calls to be, each from a port of its own."""
    host, port = switch.split(":")
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            socket_ = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            socket_.setblocking(False)
            socket_.connect((host, int(port)))
            found.append(Dialog(socket_, switch))
        yield found
