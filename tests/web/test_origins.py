"""A web page of another origin can do nothing with the cookie that the browser sends along."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from offhook.domain.errors import NotAllowedError
from offhook.web.http.origins import OwnOrigins
from tests.acceptance.server import OffhookServer
from tests.web.conftest import Person

Header = tuple[str, str]


def ask(server: OffhookServer, method: str, path: str, *headers: Header, body: bytes = b"") -> tuple[int, Any, Any]:
    """As a browser asks: a header may come twice, and nothing is added but Host and the length."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in (*headers, ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text, answer.headers


CHANGES = [
    ("POST", "/v1.0/events", b'{"type":"a","data":{}}', 202),
    ("PUT", "/v1.0/customer", b'{"name":"changed"}', 200),
    ("POST", "/v1.0/accesskeys", b"{}", 200),
    ("DELETE", "/v1.0/events?subject=call/x", b"", 200),
]


@pytest.mark.parametrize("cookie", ["token", "accesskey"])
@pytest.mark.parametrize(("method", "path", "body", "good"), CHANGES)
def test_a_foreign_page_changes_nothing_with_the_cookie(
    server: OffhookServer, person: Person, cookie: str, method: str, path: str, body: bytes, good: int
) -> None:
    with_cookie = ("Cookie", f"{cookie}={person.token}")
    own = f"http://localhost:{server.port}"
    for headers, status in (
        ([("Origin", "http://evil.example")], 403),
        ([("Origin", "null")], 403),
        ([("Origin", own), ("Origin", "http://evil.example")], 403),
        ([("Origin", f"http://localhost:{server.port + 1}")], 403),
        ([("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-origin")], 403),
        ([("Origin", "http://evil.example"), ("X-Forwarded-Host", "evil.example")], 403),
        ([("Sec-Fetch-Site", "cross-site")], 403),
        ([("Sec-Fetch-Site", "same-site")], 403),
        ([("Origin", own)], good),
        ([("Origin", f"http://127.0.0.1:{server.port}"), ("Sec-Fetch-Site", "same-origin")], good),
        ([("Sec-Fetch-Site", "same-origin")], good),
        ([], good),
    ):
        got, answer, _ = ask(server, method, path, with_cookie, *headers, body=body)
        assert got == status, (headers, answer)
        if status == 403:
            assert answer["error"]["reason"] == "CROSS_ORIGIN"
            assert answer["error"]["details"][0]["field"] == "Origin"


def test_reading_with_the_cookie_and_changing_with_a_token_of_ones_own_pass(
    server: OffhookServer, person: Person
) -> None:
    foreign = ("Origin", "http://evil.example")
    for method in ("GET", "HEAD"):
        assert ask(server, method, "/v1.0/customer", ("Cookie", f"token={person.token}"), foreign)[0] == 200
    bearer = ("Authorization", f"Bearer {person.token}")
    assert ask(server, "PUT", "/v1.0/customer", bearer, foreign, body=b"{}")[0] == 200
    query = f"/v1.0/customer?token={person.token}"
    assert ask(server, "PUT", query, foreign, body=b"{}")[0] == 200
    # The header decides, also where the browser adds its cookie.
    assert ask(server, "PUT", "/v1.0/customer", bearer, ("Cookie", "token=x"), foreign, body=b"{}")[0] == 200


def test_pages_of_any_origin_may_read_the_api_and_nothing_else(server: OffhookServer) -> None:
    for path, allowed in (
        ("/v1.0/customer", True),
        ("/v1.0/none", True),
        ("/auth/login", True),
        ("/openapi.json", True),
        ("/docs", False),
        ("/", False),
        ("/metrics", False),
        ("/healthz", False),
        ("/v1.0x", False),
        ("/authors", False),
    ):
        for method in ("GET", "OPTIONS"):
            headers = ask(server, method, path, ("Origin", "http://any.example"))[2]
            assert (headers["Access-Control-Allow-Origin"] == "*") is allowed, (method, path)
            assert headers["Access-Control-Allow-Credentials"] is None
            if method == "OPTIONS":
                # Names of headers in any case (Fetch, section 3.3.4).
                named = (headers["Access-Control-Allow-Headers"] or "").lower().split(", ")
                for name in ("authorization", "content-type", "idempotency-key", "x-request-id"):
                    assert (name in named) is allowed
                methods = (headers["Access-Control-Allow-Methods"] or "").split(", ")
                assert ({"GET", "POST", "PUT", "DELETE"} == set(methods)) is allowed
                assert len(headers.get_all("Access-Control-Allow-Origin") or []) == allowed


def test_the_public_address_is_an_own_origin(tmp_path: Path) -> None:
    server = OffhookServer(
        tmp_path / "data",
        "--no-switch",
        OFFHOOK_SERVER__PUBLIC_URL="https://hooks.example/",
        OFFHOOK_SERVER__TRUSTED_PROXIES="127.0.0.1",
    )
    server.start()

    def changed(*headers: Header) -> int:
        return ask(server, "PUT", "/v1.0/customer", ("Cookie", f"token={server.token}"), *headers, body=b"{}")[0]

    try:
        assert changed(("Origin", "https://hooks.example")) == 200
        assert changed(("Origin", "http://hooks.example")) == 403
        proxied = (("X-Forwarded-Host", "inner.example"), ("X-Forwarded-Proto", "https"))
        assert changed(("Origin", "https://inner.example"), *proxied) == 200
        assert changed(("Origin", "http://inner.example"), *proxied) == 403
    finally:
        server.kill()


def scope(*headers: tuple[str, str], **more: Any) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"type": "http", "scheme": "http", "headers": raw, "client": ("9.9.9.9", 5), "server": None, **more}


def passes(own: OwnOrigins, given: dict[str, Any]) -> bool:
    try:
        own.check(given)
    except NotAllowedError:
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://hooks.example:8080", True),
        ("HTTP://HOOKS.Example:8080", True),
        ("http://localhost:8080", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://[0:0:0:0:0:0:0:1]:8080", True),
        ("https://public.example", True),
        ("https://public.example:443", True),
        ("https://public.example:8443", False),
        ("http://public.example", False),
        ("https://localhost:8080", False),
        ("http://localhost", False),
        ("http://localhost:8080/", False),
        ("http://localhost:8080/x", False),
        ("http://localhost:8080@evil.example", False),
        ("http://evil.example#localhost:8080", False),
        ("http://localhost:8080, http://evil.example", False),
        ("http://localhost:8080.evil.example", False),
        ("http://public.example.evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://", False),
        ("http://[::1", False),
        ("http://localhost:99999", False),
        ("javascript:alert(1)", False),
    ],
)
def test_which_origins_are_own(origin: str, expected: bool) -> None:
    own = OwnOrigins(host="hooks.example", port=8080, public_url="https://Public.example:443/docs")
    assert passes(own, scope(("Origin", origin))) is expected
    # A handshake of a WebSocket is asked the same.
    assert passes(own, scope(("Origin", origin), type="websocket", scheme="ws")) is expected


def test_whoever_listens_everywhere_is_reached_by_the_address_that_was_dialled() -> None:
    own = OwnOrigins(host="0.0.0.0", port=8080)
    dialled = ("Origin", "http://192.168.1.5:8080")
    assert passes(own, scope(dialled, server=("192.168.1.5", 8080)))
    assert passes(own, scope(dialled, server=("::ffff:192.168.1.5", 8080)))
    assert not passes(own, scope(dialled, server=("192.168.1.6", 8080)))
    # A name that was made to point here is no address.
    assert not passes(own, scope(("Origin", "http://rebound.example:8080"), server=("192.168.1.5", 8080)))


def test_only_a_trusted_proxy_says_what_it_was_asked_for() -> None:
    own = OwnOrigins(host="127.0.0.1", port=8080, trusted_proxies=("10.0.0.9",))
    headers = (("Origin", "https://api.example"), ("X-Forwarded-Proto", "https"))
    behind = {"client": ("10.0.0.9", 40_000)}
    assert passes(own, scope(*headers, ("X-Forwarded-Host", "api.example"), **behind))
    assert passes(own, scope(*headers, ("X-Forwarded-Host", "spoofed.example, api.example:443"), **behind))
    assert not passes(own, scope(*headers, ("X-Forwarded-Host", "api.example, other.example"), **behind))
    assert not passes(own, scope(*headers, ("X-Forwarded-Host", "api.example")))
    assert not passes(own, scope(*headers, **behind))
    assert not passes(own, scope(("Origin", "https://api.example"), ("X-Forwarded-Host", "api.example"), **behind))
