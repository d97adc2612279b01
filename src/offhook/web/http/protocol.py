"""HTTP/1.1 as uvicorn speaks it, but for what is no request at all: that too is refused with the error envelope.

Such a request never reaches the application: its head or its chunks cannot be read, and the connection ends with it.
"""

from __future__ import annotations

import sys

from httptools import HttpParserInvalidURLError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offhook.domain.errors import InvalidError
from offhook.web.errors import refusal_of
from offhook.web.http.exchange import new_request_id

# What httptools can take apart: its places are numbers of 16 bits.
_MAX_URL_BYTES = 65_535


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

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
