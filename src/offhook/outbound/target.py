"""Where a request goes and how it reads on the wire."""

from __future__ import annotations

from aiohttp import ClientRequest
from yarl import URL

from offhook.domain.delivery.networks import literal_address
from offhook.outbound.port import OutgoingRequest


class Target:
    """One parsed uri: what aiohttp's connector needs to know, and the part of the head that never changes."""

    __slots__ = ("address", "fixed_head")

    def __init__(self, uri: str) -> None:
        url = parse_uri(uri)
        # The connector takes a host, a port and whether to use TLS from a request object; this one is never sent.
        self.address = ClientRequest("POST", url)
        # Without Accept-Encoding a receiver might take compression for granted (RFC 9110, section 12.5.3).
        self.fixed_head = (
            f" {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\nAccept-Encoding: identity\r\n"
        )


def parse_uri(uri: str) -> URL:
    """The URL to request: as it was given, but for characters no request line can carry; raises ValueError.

    An address in an unusual spelling (`127.1`) is written out, as browsers do (WHATWG URL, "host parsing").
    """
    is_plain = uri.isascii() and uri.isprintable() and " " not in uri
    url = URL(uri, encoded=is_plain)
    host = url.raw_host
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("not an absolute http or https URL")
    literal = literal_address(host)
    if literal is not None and literal != host and ":" not in host:
        return url.with_host(literal)
    return url


def wire_form(request: OutgoingRequest, target: Target) -> bytes:
    """The bytes of `request` (RFC 9112, section 2.1); raises ValueError for a header that would end its line early."""
    request.headers.check()
    if not request.method.isalpha():
        raise ValueError("not a method")
    head = f"{request.method}{target.fixed_head}{request.headers.lines}Content-Length: {len(request.body)}\r\n\r\n"
    return head.encode() + request.body
