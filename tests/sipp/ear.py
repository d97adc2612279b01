"""The caller's end of the voice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.sipp.switches import eventually


class Ear(asyncio.DatagramProtocol):
    """RTP (RFC 3550) with u-law (payload type 0)."""

    def __init__(self) -> None:
        self.peer: tuple[str, int] | None = None
        self.heard: set[bytes] = set()
        self.voice_at: list[float] = []
        """When something was heard that is no silence, by the loop's clock: each for 20 ms."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = addr
        self.heard.add(data[12:])
        if _is_voice(data[12:]):
            self.voice_at.append(asyncio.get_running_loop().time())

    async def says_until_heard(self) -> None:
        """Send a sound that is like no other, until it comes back."""
        await eventually(lambda: self.peer is not None, "the greeting is heard")
        said = bytes(range(0x80, 0xD0)) * 2
        transport = self.transport
        for number in range(500):
            head = b"\x80\x00" + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + b"\x01\x02\x03\x04"
            transport.sendto(head + said, self.peer)
            await asyncio.sleep(0.02)  # the pace of speech, not a wait for something
            if said in self.heard:
                return
        raise AssertionError("nothing came back")

    @property
    def port(self) -> int:
        """Where it hears."""
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def open(self, transport: asyncio.DatagramTransport) -> None:
        """Send with that."""
        self.transport = transport


def _is_voice(said: bytes) -> bool:
    """Whether a sample is louder than 924 of 32,767 (ITU-T G.711: a u-law code is inverted, its upper bits tell)."""
    return any(~code & 0x70 >= 0x30 for code in said)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Ear]:
    """An ear on a free port of the loopback, gone at the end."""
    transport, ear = await asyncio.get_running_loop().create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    ear.open(transport)
    try:
        yield ear
    finally:
        transport.close()
