"""Which web pages may use a cookie: those of the server's own origin.

A browser sends our cookie along whoever wrote the page, and says in `Origin` whose page it was. A program that is no
browser says nothing and passes: the tutorial's curl goes on working. HTTP requests and WebSocket handshakes are asked
the same; whether a request has to be asked is for `web.http.exchange` to know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from offhook.domain.errors import NotAllowedError
from offhook.web.http.addresses import plain_address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"[A-Za-z]+://[^\s/?#@\\]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WEB_SCHEMES = {"ws": "http", "wss": "https"}


class OwnOrigins:
    """The server's own origins: `public_url`'s, and those of the address that it listens on.

    Behind one of `trusted_proxies` also what its X-Forwarded-Host says, with X-Forwarded-Proto as the scheme.
    """

    def __init__(self, *, host: str, port: int, public_url: str = "", trusted_proxies: tuple[str, ...] = ()) -> None:
        own = {_origin("http", name, port) for name in (host, *_LOOPBACK)}
        self._own = frozenset(own | {origin_of(public_url)}) - {""}
        self._trusted_proxies = trusted_proxies

    def check(self, scope: Any) -> None:
        """Raises NotAllowedError (CROSS_ORIGIN) for a request that another origin's page made; `scope` is ASGI's."""
        origins = _values(scope, b"origin")
        sites = _values(scope, b"sec-fetch-site")
        if origins:
            # More than one is nothing that a browser sends, and "null" is the origin of whoever hides its own.
            is_own = len(origins) == 1 and self._is_own(origins[0], scope)
        else:
            is_own = all(site == "same-origin" for site in sites)
        if not is_own:
            raise NotAllowedError(
                "This request came from a web page of another origin, with a cookie. Send the token in the "
                "Authorization header instead, or tell the operator to set server.public_url to this page's origin.",
                reason="CROSS_ORIGIN",
                field="Origin",
            )

    def _is_own(self, sent: str, scope: Any) -> bool:
        origin = origin_of(sent) if _ORIGIN.fullmatch(sent) else ""
        return bool(origin) and (
            origin in self._own or origin in (_connected_origin(scope), self._forwarded_origin(scope))
        )

    def _forwarded_origin(self, scope: Any) -> str:
        """What the nearest proxy says that it was asked for: the last of each list is its own word."""
        client = scope.get("client")
        hosts = _values(scope, b"x-forwarded-host")
        if not hosts or not client or plain_address(client[0]) not in self._trusted_proxies:
            return ""
        schemes = _values(scope, b"x-forwarded-proto") or [_scheme(scope)]
        host, scheme = (each[-1].rpartition(",")[2].strip() for each in (hosts, schemes))
        return origin_of(f"{scheme}://{host}")


def origin_of(url: str) -> str:
    """The origin of an http or https URL, in one spelling (RFC 6454, section 6.2); "" if it has none.

    Upper case, a port that is the scheme's own, and what follows the port make no difference.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if ":" not in host:
            host = host.encode("idna").decode("ascii")
    except ValueError:
        return ""
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        return ""
    return _origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def _origin(scheme: str, host: str, port: int) -> str:
    plain = plain_address(host.lower())
    name = f"[{plain}]" if ":" in plain else plain
    return f"{scheme}://{name}" if port == _DEFAULT_PORTS.get(scheme) else f"{scheme}://{name}:{port}"


def _connected_origin(scope: Any) -> str:
    """The address that this connection was made to: whoever listens on 0.0.0.0 listens on it. Never a name."""
    server = scope.get("server")
    return _origin(_scheme(scope), server[0], server[1]) if server and server[1] else ""


def _scheme(scope: Mapping[str, Any]) -> str:
    scheme: str = scope.get("scheme", "http")
    return _WEB_SCHEMES.get(scheme, scheme)


def _values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
