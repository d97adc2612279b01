"""The page at /docs: readable by everybody, whole under a strict policy, with an example of every body."""

from __future__ import annotations

import re
import urllib.request
from email.message import Message

import pytest

from offhook.domain.ids import NIL_UUID
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer
from tests.web.conftest import Person

AA = 4.5


def fetch(server: OffhookServer, path: str) -> tuple[str, Message]:
    with urllib.request.urlopen(server.url + path) as answer:
        return answer.read().decode(), answer.headers


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_can_be_read_by_light_and_in_the_dark(server: OffhookServer) -> None:
    style, _ = fetch(server, "/docs/style.css")
    used = set(re.findall(r"(?<![\w-])color: (\S+);", style))
    assert used == {"var(--ink)", "var(--accent)", "var(--dim)"}
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root {(.*?)}", style, re.S)
    ]
    assert len(schemes) == 2
    for scheme in schemes:
        for name in ("ink", "accent", "dim"):
            assert contrast(scheme[name], scheme["ground"]) >= AA, (name, scheme)


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/"])
def test_the_page_lives_under_a_strict_policy(server: OffhookServer, path: str) -> None:
    page, headers = fetch(server, path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=|javascript:", page)
    needed = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"/docs/style.css", "/docs/script.js", "/favicon.ico", "/openapi.json"} <= set(needed)
    for file in needed:
        assert file.startswith("/")
        fetch(server, file)
    script, _ = fetch(server, "/docs/script.js")
    assert not re.search(r"innerHTML|\.style\b|eval\(|https?://", script)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/docs/style.css", "text/css"),
        ("/docs/script.js", "text/javascript"),
        ("/favicon.ico", "image/svg+xml"),
        ("/favicon.svg", "image/svg+xml"),
    ],
)
def test_its_files_have_the_type_that_a_browser_insists_on(server: OffhookServer, path: str, kind: str) -> None:
    content, headers = fetch(server, path)
    assert content
    assert headers.get_content_type() == kind


def test_every_body_has_an_example_and_it_is_taken(server: OffhookServer, person: Person, receiver: Receiver) -> None:
    document = server.ask("GET", "/openapi.json")
    agent = person.request("POST", "/v1.0/agents", {"username": "b@bakery.example", "password": "long enough"})[1]
    key = person.request("POST", "/v1.0/accesskeys", {"name": "a"})[1]
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    flow = person.request("POST", "/v1.0/flows", {})[1]
    number = server.ask("POST", "/v1.0/numbers", {"number": "4711"})
    places = {
        "{agent_id}": agent["id"],
        "{key_id}": key["id"],
        "{customer}": person.customer["id"],
        "{flow_id}": flow["id"],
        "{number_id}": number["id"],
        "{call_id}": NIL_UUID,
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "requestBody" not in operation:
                continue
            example = operation["requestBody"]["content"]["application/json"]["example"]
            if path == "/auth/login":
                example = {"username": person.username, "password": person.password}
            filled = path
            for place, value in places.items():
                filled = filled.replace(place, str(value))
            token = server.token if path.startswith(("/v1.0/customers", "/v1.0/numbers")) else person.token
            status, answer = server.request(method.upper(), filled, example, token=token)
            if "{call_id}" in path:
                # There is none without a phone system: a body that was not taken would be a 400.
                assert (status, answer["error"]["reason"]) == (404, "CALL_NOT_FOUND")
                continue
            assert 200 <= status < 300, (method, path, answer)
            if path == "/v1.0/customer":
                person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
