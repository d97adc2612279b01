"""HTTP/1.1 as uvicorn speaks it, but for two things.

What is no request at all is refused with the error envelope too. It never reaches the application: its head or its
chunks cannot be read, and the connection ends with it.

And an answer goes out in one write: uvicorn writes head and body apart, which costs a system call here, and a second
wake-up at whoever asked.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any, cast

from httptools import HttpParserInvalidURLError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offhook.domain.errors import InvalidError
from offhook.web.errors import refusal_of
from offhook.web.http.exchange import new_request_id

# What httptools can take apart: its places are numbers of 16 bits.
_MAX_URL_BYTES = 65_535
_MOST_KEPT = 16_384


class JoiningTransport:
    """A transport that keeps a small piece until the next one, or the loop's next turn. In all else, the one inside.

    More than one piece is never kept, so that whoever writes much is still told in time to wait.
    """

    __slots__ = ("_call_soon", "_inner", "_kept")

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._call_soon = loop.call_soon
        self._kept = b""

    def write(self, data: bytes) -> None:
        """Write it with the next piece, if there is one in this turn of the loop."""
        if self._kept or len(data) > _MOST_KEPT:
            self._write_now(data)
        else:
            self._kept = data
            self._call_soon(self._write_now)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write these."""
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        """Write no more."""
        self._write_now()
        self._inner.write_eof()

    def close(self) -> None:
        """Close it once all is written."""
        self._write_now()
        self._inner.close()

    def get_write_buffer_size(self) -> int:
        """How much is not on its way yet."""
        return self._inner.get_write_buffer_size() + len(self._kept)

    def _write_now(self, more: bytes = b"") -> None:
        whole, self._kept = self._kept + more, b""
        # Whoever asked may be gone since.
        if whole and not self._inner.is_closing():
            self._inner.write(whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, on a transport that joins what is written."""
        super().connection_made(cast("asyncio.Transport", JoiningTransport(transport, self.loop)))

    def on_url(self, url: bytes) -> None:
        """Collect the URL, no further than it can be read."""
        self.url += url
        if len(self.url) > _MAX_URL_BYTES:
            raise _TooLongError

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser stumbled over. Uvicorn calls this while the parser's error is being handled."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            # An answer is under way: a second one in its middle would be taken for a part of it.
            self.transport.close()
            return
        request_id = new_request_id()
        refusal = refusal_of(_fault(sys.exc_info()[1]), request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(refusal.body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + refusal.body)
        self.transport.close()


class _TooLongError(Exception):
    pass


def _fault(error: BaseException | None) -> InvalidError:
    cause = None if error is None else error.__context__ or error.__cause__
    if isinstance(cause, _TooLongError | HttpParserInvalidURLError):
        message = f"The URL is longer than {_MAX_URL_BYTES} bytes." if isinstance(cause, _TooLongError) else "No URL."
        return InvalidError(message, reason="INVALID_REQUEST_PARAMETER", field="url")
    said = str(error or "").strip()
    text = said.removeprefix("b'").removesuffix("'") or "It cannot be read"
    return InvalidError(f"This is no HTTP/1.1 request: {text}.", reason="MALFORMED_REQUEST", field="request")
