"""Whoever guesses keys or passwords is stopped, and nobody else is."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import OffhookServer, wait_until

WRONG = "vb_" + "x" * 32
EVENT = {"type": "a", "data": {}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OffhookServer]:
    """With the limits as they come, and a proxy that says who asks."""
    server = OffhookServer(
        tmp_path / "data",
        "--no-switch",
        OFFHOOK_SERVER__TRUSTED_PROXIES="127.0.0.1",
        OFFHOOK_LIMITS__AUTH_PER_SECOND="0",
    )
    server.start()
    yield server
    server.kill()


def publish(server: OffhookServer, token: str, address: str = "192.0.2.1") -> int:
    return server.request("POST", "/v1.0/events", EVENT, token=token, **{"X-Forwarded-For": address})[0]


def log_in(server: OffhookServer, username: str, password: str, address: str = "192.0.2.1") -> tuple[int, Any]:
    """The status, and how long to wait if that was told."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = json.dumps({"username": username, "password": password})
    connection.request("POST", "/auth/login", body, {"X-Forwarded-For": address})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["Retry-After"]


@pytest.mark.parametrize("path", ["/v1.0/events", "/v1.0/customer"])
def test_after_twenty_wrong_keys_no_unknown_one_is_looked_at(server: OffhookServer, path: str) -> None:
    assert publish(server, server.token) == 202
    other = str(server.ask("POST", "/v1.0/accesskeys", {})["token"])
    never_used = str(server.ask("POST", "/v1.0/accesskeys", {})["token"])
    server.kill()
    server.start()
    # Both are good, and only the first has been used since the start.
    assert publish(server, server.token) == 202
    method = "POST" if path.endswith("events") else "GET"

    def ask(token: str, address: str) -> tuple[int, Any]:
        return server.request(method, path, token=token, **{"X-Forwarded-For": address})

    assert [ask(f"vb_{n:032}", "192.0.2.1")[0] for n in range(22)] == [401] * 20 + [429] * 2
    assert publish(server, other) == 429
    assert [publish(server, server.token) for _ in range(30)] == [202] * 30
    assert publish(server, other, "192.0.2.2") == 202
    assert publish(server, other) == 202
    # An account that changes makes every key be looked up again, and none of those that were good is a guess.
    server.ask("PUT", "/v1.0/customer", {"name": "changed"})
    assert publish(server, server.token) == 202
    assert publish(server, other) == 202
    assert publish(server, never_used) == 429


def test_a_key_made_or_a_token_given_while_others_guess_is_good_at_once(server: OffhookServer) -> None:
    assert publish(server, server.token) == 202
    assert {publish(server, WRONG) for _ in range(25)} == {401, 429}
    made = str(server.ask("POST", "/v1.0/accesskeys", {})["token"])
    assert publish(server, made) == 202
    credentials = {name: server.credentials[name] for name in ("username", "password")}
    token = server.ask("POST", "/auth/login", credentials)["token"]
    assert publish(server, token) == 202
    assert publish(server, WRONG) == 429


def test_guesses_at_once_and_from_one_network_are_counted_together(server: OffhookServer) -> None:
    answers: list[int] = []

    def guess(number: int) -> None:
        answers.append(publish(server, f"vb_{number:032}", f"2001:db8:0:1::{number:x}"))

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [401] * 20 + [429] * 20
    assert publish(server, WRONG, "2001:db8:0:2::1") == 401


def test_a_revoked_key_is_a_401_and_not_a_guess(server: OffhookServer) -> None:
    keys = [server.ask("POST", "/v1.0/accesskeys", {}) for _ in range(22)]
    for key in keys:
        assert publish(server, str(key["token"])) == 202
    for key in keys:
        server.ask("DELETE", f"/v1.0/accesskeys/{key['id']}")
    assert [publish(server, str(key["token"])) for key in keys] == [401] * 22
    assert publish(server, WRONG) == 401


@pytest.mark.alone
def test_failed_log_ins_cost_more_and_more_time_and_only_their_address(server: OffhookServer) -> None:
    name, password = server.credentials["username"], server.credentials["password"]
    assert [log_in(server, name, "wrong") for _ in range(5)] == [(400, None)] * 5
    assert log_in(server, name, "wrong") == (429, "1")
    # The right one has to wait as well where the wrong ones came from, and nowhere else.
    assert log_in(server, name, password)[0] in (429, 200)
    assert log_in(server, name, password, "192.0.2.2")[0] == 200
    wait_until(lambda: log_in(server, name, "wrong")[0] == 400, "a second has gone by")
    assert log_in(server, name, "wrong") == (429, "2")
    wait_until(lambda: log_in(server, name, password)[0] == 200, "two seconds have gone by")
    assert [log_in(server, name, "wrong")[0] for _ in range(5)] == [400] * 5
    assert log_in(server, name, "wrong")[0] == 429


def test_malformed_log_ins_are_failed_ones(server: OffhookServer) -> None:
    bodies = [b"{", b"[]", b"", b'{"username": "a"}', b'{"username": 5, "password": "b"}', b'{"password": ""}']

    def send(body: bytes, address: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", "/auth/login", body, {"X-Forwarded-For": address})
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content["error"]["reason"]

    answers = [send(body, "192.0.2.1") for body in bodies]
    assert [status for status, _ in answers] == [400] * 5 + [429]
    assert answers[-1][1] == "RATE_LIMIT_EXCEEDED"
    assert send(b"{", "192.0.2.2")[0] == 400
