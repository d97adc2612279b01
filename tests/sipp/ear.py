"""The caller's end of the voice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from tests.sipp.switches import eventually

_DIGITS = 101
_KEYS = "0123456789*#ABCD"
_FALLING, _RISING = (bytes(tones) * 2 for tones in (range(0x80, 0xD0), range(0xCF, 0x7F, -1)))
_RECENT = 20
_FOR_EVER = 500


class Ear(asyncio.DatagramProtocol):
    """RTP (RFC 3550) with u-law (payload type 0) and digits (RFC 4733)."""

    def __init__(self) -> None:
        self.peer: tuple[str, int] | None = None
        self.heard: set[bytes] = set()
        self.voice_at: list[float] = []
        """When something was heard that is no silence, by the loop's clock: each for 20 ms."""
        self.recent: deque[bytes] = deque(maxlen=_RECENT)
        """What was said last, 20 ms each."""
        self._digits: dict[bytes, str] = {}
        self._sent_count = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = addr
        said = data[12:]
        if data[1] & 0x7F == _DIGITS:
            # All packets of a digit carry the time at which it began.
            self._digits[data[4:8]] = _KEYS[said[0]]
            return
        self.heard.add(said)
        self.recent.append(said)
        if _is_loud(said):
            self.voice_at.append(asyncio.get_running_loop().time())

    @property
    def digits(self) -> str:
        """What was typed to it."""
        return "".join(self._digits.values())

    @property
    def hears_something(self) -> bool:
        """Whether there was a sound of late."""
        return any(map(_is_loud, self.recent))

    @property
    def hears_silence(self) -> bool:
        """Whether it is sent voice in which there is nothing at all."""
        return len(self.recent) == _RECENT and not any(len(set(said)) > 1 for said in self.recent)

    async def says_until_heard(self, other: Ear | None = None) -> None:
        """Send a sound that is like no other, until it comes back, or comes to the other one."""
        await eventually(lambda: self.peer is not None, "the greeting is heard")
        listener = other or self
        listener.heard.discard(_FALLING)
        for _ in range(_FOR_EVER):
            await self._say(_FALLING)
            if _FALLING in listener.heard:
                return
        raise AssertionError("nothing came back")

    async def says_in_vain(self, count: int = 25) -> bytes:
        """Send another one for so long; which one. Whether it was heard is to be looked for later."""
        for _ in range(count):
            await self._say(_RISING)
        return _RISING

    async def _say(self, said: bytes) -> None:
        number = self._sent_count = self._sent_count + 1
        head = b"\x80\x00" + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + b"\x01\x02\x03\x04"
        self.transport.sendto(head + said, self.peer)
        await asyncio.sleep(0.02)  # the pace of speech, not a wait for something

    @property
    def port(self) -> int:
        """Where it hears."""
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def open(self, transport: asyncio.DatagramTransport) -> None:
        """Send with that."""
        self.transport = transport


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Ear]:
    """An ear on a free port of the loopback, gone at the end."""
    transport, ear = await asyncio.get_running_loop().create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    ear.open(transport)
    try:
        yield ear
    finally:
        transport.close()


def _is_loud(said: bytes) -> bool:
    # G.711: the smaller a byte without its sign, the louder.
    return min(byte & 0x7F for byte in said) < 0x60
