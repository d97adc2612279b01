"""One HTTP exchange on the ASGI level: request id, credential, client address, body, answer.

The publish route uses it directly, the other routes through Litestar; both read a request the same way.
"""

from __future__ import annotations

import random
import re
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from offhook.domain.errors import InvalidError, TooLargeError
from offhook.web.http.addresses import counted_address, plain_address

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# No browser sends as much for one site (RFC 6265, section 6.1, asks for 4,096 bytes a cookie).
_MAX_COOKIE = 16_384
_SMALL_BODY = 64 * 1024
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_PAIRS = [first + second for first in _BASE32 for second in _BASE32]


class Exchange:
    """What is needed of a request before its body: headers and query are read once, when asked for."""

    __slots__ = ("_query", "headers", "request_id", "scope")

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, list[str]] | None = None
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else new_request_id()

    @property
    def query(self) -> dict[str, list[str]]:
        """The query string's parameters."""
        if self._query is None:
            text = self.scope.get("query_string", b"").decode("latin-1")
            try:
                self._query = parse_qs(text, keep_blank_values=True, max_num_fields=100) if text else {}
            except ValueError:
                raise InvalidError(
                    "The query string has too many parameters.", reason="INVALID_REQUEST_PARAMETER", field="query"
                ) from None
        return self._query

    def parameter(self, name: str) -> str:
        """A query parameter, the last one of that name; "" if there is none."""
        values = self.query.get(name)
        return values[-1] if values else ""

    def credential(self) -> tuple[str, bool]:
        """The token or access key, wherever it is (contract, section 1), "" if there is none; whether in a cookie."""
        authorization = self.headers.get(b"authorization", b"")
        if authorization[:7].lower() == b"bearer ":
            return authorization[7:].strip().decode("latin-1"), False
        for name in ("token", "accesskey"):
            if found := self.parameter(name):
                return found, False
        return self._cookie_credential(), True

    def _cookie_credential(self) -> str:
        cookie = self.headers.get(b"cookie")
        if cookie is None or len(cookie) > _MAX_COOKIE:
            return ""
        try:
            cookies = SimpleCookie(cookie.decode("latin-1"))
        except CookieError:
            return ""
        for name in ("token", "accesskey"):
            if name in cookies and cookies[name].value:
                return cookies[name].value
        return ""

    def is_change(self) -> bool:
        """Whether this may change something, or (a WebSocket handshake) opens what may."""
        return self.scope["type"] != "http" or self.scope["method"] not in ("GET", "HEAD")

    def address(self, trusted_proxies: tuple[str, ...]) -> str:
        """Who is at the other end, as limits count it: the peer, or what a trusted proxy says of it."""
        client = self.scope.get("client")
        peer = plain_address(client[0]) if client else ""
        if peer in trusted_proxies and b"x-forwarded-for" in self.headers:
            for hop in reversed(self.headers[b"x-forwarded-for"].decode("latin-1").split(",")):
                if plain_address(hop.strip()) not in trusted_proxies:
                    return counted_address(hop.strip())
        return counted_address(peer)


async def read_body(scope: Any, receive: Any, max_bytes: int) -> bytes | bytearray:
    """The request's body, `bytes` where it is small. Raises TooLargeError as soon as it is known to be too large."""
    declared = dict(scope["headers"]).get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    large = bytearray()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidError("The connection was closed before the body was complete.", field="body")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if size > _SMALL_BODY:
            # Joining many megabytes at the end would take as long as copying them.
            large += b"".join(chunks)
            chunks.clear()
        if not message.get("more_body", False):
            if large:
                return large
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def new_request_id() -> str:
    """`req_` and 26 base32 characters (facts, section 2.2). It names a request, and guards nothing."""
    number = random.getrandbits(130)
    return "req_" + "".join([_BASE32_PAIRS[number >> shift & 1023] for shift in range(0, 130, 10)])


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"The body is larger than {max_bytes} bytes. Send smaller batches.", field="body")
