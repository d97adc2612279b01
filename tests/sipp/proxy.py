"""A wire between us and the switch that a test can cut."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import msgspec

from offhook.switch.asterisk.ari import AriEndpoint


class Proxy:
    """Passes TCP connections on to `url`'s host and port, until they are cut.

    What is asked for on them, first lines of HTTP, is kept in `asked`. A connection on which one of `stalled` is asked
    for gets no answer any more.
    """

    def __init__(self, url: str) -> None:
        self.asked: list[str] = []
        self.stalled: tuple[str, ...] = ()
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._to = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def endpoint_for(self, endpoint: AriEndpoint) -> AriEndpoint:
        """The same ARI, through the wire."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return msgspec.structs.replace(endpoint, url=f"http://127.0.0.1:{port}{urlsplit(endpoint.url).path}")

    def cut(self) -> None:
        """Break every connection. New ones are passed on again."""
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        """Break every connection and listen no more."""
        assert self._server is not None
        self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._to)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pass_requests_on(reader, there_writer), _pass_on(there_reader, writer))
        self._writers -= {writer, there_writer}

    async def _pass_requests_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_stalled = False
        try:
            while chunk := await reader.read(65_536):
                line = chunk.partition(b"\r\n")[0].decode("latin-1")
                if line.endswith("HTTP/1.1"):
                    self.asked.append(line)
                    is_stalled = is_stalled or any(path in line for path in self.stalled)
                if not is_stalled:
                    writer.write(chunk)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
