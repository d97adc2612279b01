"""The Flask decorator: the view sees verified events only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from offhook.domain.delivery.signature import new_secret
from offhook.receiver import Event, MalformedSecretError
from offhook.receiver.flask import verified_webhook

from .signing import CALL, EVENT_ID, body_of, signed_headers

SECRET = new_secret()
URI = "/hook/main"
Seen = tuple[Event, str, Any]
"""What the view got: the event, the name in its path, and the body as Flask parsed it."""


@pytest.fixture
def seen() -> list[Seen]:
    return []


@pytest.fixture
def client(seen: list[Seen]) -> Iterator[FlaskClient]:
    app = Flask("receiver")

    @app.route("/hook/<name>", methods=["POST", "PUT", "GET", "DELETE"])
    @verified_webhook(SECRET, max_body_bytes=500)
    def webhook(event: Event, name: str) -> dict[str, Any]:
        seen.append((event, name, request.get_json()))
        return {"ok": True}

    with app.test_client() as client:
        yield client


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
def test_a_signed_webhook_reaches_the_view_with_every_method(
    client: FlaskClient, seen: list[Seen], method: str
) -> None:
    body = body_of()
    answer = client.open(URI, method=method, data=body, headers=signed_headers(SECRET, body, at=datetime.now(UTC)))
    assert (answer.status_code, answer.json) == (200, {"ok": True})
    [(event, name, parsed)] = seen
    assert (event.id, event.type, event.data, name, parsed) == (EVENT_ID, "call_hungup", CALL["data"], "main", CALL)


@pytest.mark.parametrize(
    ("secret", "age", "change", "reason"),
    [
        (new_secret(), timedelta(0), {}, "BAD_SIGNATURE"),
        (SECRET, timedelta(hours=1), {}, "TIMESTAMP_TOO_OLD"),
        (SECRET, timedelta(hours=-1), {}, "TIMESTAMP_TOO_NEW"),
        (SECRET, timedelta(0), {"webhook-id": "a b"}, "MALFORMED_HEADER"),
    ],
    ids=["signature", "old", "new", "id"],
)
def test_anything_else_is_answered_400_with_the_reason(
    client: FlaskClient, seen: list[Seen], secret: str, age: timedelta, change: dict[str, str], reason: str
) -> None:
    body = body_of()
    headers = signed_headers(secret, body, at=datetime.now(UTC) - age) | change
    answer = client.post(URI, data=body, headers=headers)
    assert (answer.status_code, answer.get_json()["reason"]) == (400, reason)
    assert not seen


def test_the_tutorials_unsigned_event_is_refused(client: FlaskClient, seen: list[Seen]) -> None:
    answer = client.post(URI, json=CALL)
    assert (answer.status_code, answer.get_json()["reason"]) == (400, "MISSING_HEADER")
    assert not seen


def test_a_body_over_the_limit_is_answered_413(client: FlaskClient, seen: list[Seen]) -> None:
    body = body_of({"type": "a", "data": {"text": "x" * 500}})
    answer = client.post(URI, data=body, headers=signed_headers(SECRET, body, at=datetime.now(UTC)))
    assert (answer.status_code, answer.get_json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert not seen


def test_a_wrong_secret_is_noticed_at_start() -> None:
    with pytest.raises(MalformedSecretError):
        verified_webhook("secret")
