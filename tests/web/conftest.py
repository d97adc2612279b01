"""One real server for the room's tests, with a customer of its own for those that need another."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer

NO_LIMITS = {
    "OFFHOOK_LIMITS__AUTH_PER_SECOND": "0",
    "OFFHOOK_LIMITS__ADDRESS_PER_SECOND": "0",
    "OFFHOOK_LIMITS__CUSTOMER_PER_SECOND": "0",
    "OFFHOOK_LIMITS__FAILED_LOG_INS": "0",
    "OFFHOOK_LIMITS__WRONG_KEYS": "0",
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OffhookServer]:
    folder: Path = tmp_path_factory.mktemp("web")
    server = OffhookServer(folder / "data", "--no-switch", **NO_LIMITS)
    server.start()
    # An access key is a CustomerAdmin's; the operator's roles come with a log in.
    access_key = server.token
    credentials = {name: server.credentials[name] for name in ("username", "password")}
    server.token = server.ask("POST", "/auth/login", credentials)["token"]
    yield server
    log = server.log.read_text()
    assert access_key not in log
    assert server.token not in log
    assert "token=" not in log
    assert "internal_error" not in log
    server.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Person:
    """An agent of a customer of its own, logged in."""

    def __init__(self, server: OffhookServer, permission: int | None = None) -> None:
        self.server = server
        self.username = f"{secrets.token_hex(6)}@example.com"
        self.password = secrets.token_urlsafe(12)
        body = {"name": "Other", "username": self.username, "password": self.password}
        self.customer = server.ask("POST", "/v1.0/customers", body)
        self.token = self.log_in()

    def log_in(self) -> str:
        status, answer = self.server.request(
            "POST", "/auth/login", {"username": self.username, "password": self.password}
        )
        assert status == 200, answer
        token: str = answer["token"]
        return token

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of one answer."""
        return self.server.request(method, path, body, token=self.token)


@pytest.fixture
def person(server: OffhookServer) -> Person:
    return Person(server)
