"""Whatever one request asks for, everybody else is answered meanwhile."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.acceptance.server import OffhookServer
from tests.web.conftest import Person

pytestmark = pytest.mark.alone

# The server's own share is some 20 ms; the rest is for a machine that does other work as well. Read in one go, such a
# batch made everybody wait for more than two seconds.
_LONGEST_S = 0.8
_EVENT_BYTES = 260_000

NESTED = "[" + ",".join(["[" * 60 + "]" * 60] * (_EVENT_BYTES // 121)) + "]"
LISTS = "[" + ",".join(["[]"] * (_EVENT_BYTES // 3)) + "]"
TEXT = '"' + "x" * _EVENT_BYTES + '"'


def batch(value: str, count: int = 63) -> bytes:
    event = b'{"type":"a","data":{"a":' + value.encode() + b"}}"
    return b"[" + b",".join([event] * count) + b"]"


def ask(person: Person, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", person.server.port, timeout=100)
    connection.request(method, path, body, {"Authorization": f"Bearer {person.token}", **headers})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


@contextmanager
def watched(server: OffhookServer) -> Iterator[Callable[[], float]]:
    """Asks for the server's health every few milliseconds; how long the slowest answer took."""
    done, gaps = threading.Event(), [0.0]

    def watch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=100)
        while not done.wait(0.003):
            start_s = time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            gaps.append(time.monotonic() - start_s)
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(gaps)
    finally:
        done.set()
        watcher.join()


@pytest.mark.parametrize("value", [NESTED, LISTS, TEXT], ids=["nested", "lists", "text"])
def test_a_batch_of_16_mib_holds_nobody_up(server: OffhookServer, person: Person, value: str) -> None:
    body = batch(value)
    assert len(body) < 16 * 1024 * 1024
    with watched(server) as longest_s:
        status, answer = ask(person, "POST", "/v1.0/events", body, **{"Idempotency-Key": "once"})
        assert status == 202, answer
        assert longest_s() < _LONGEST_S
    assert len(answer["ids"]) == 63
    assert ask(person, "POST", "/v1.0/events", body, **{"Idempotency-Key": "once"}) == (202, answer)


def test_neither_do_several_at_once(server: OffhookServer, person: Person) -> None:
    body, statuses = batch(LISTS, 20), []
    publishers = [
        threading.Thread(target=lambda: statuses.append(ask(person, "POST", "/v1.0/events", body)[0])) for _ in range(4)
    ]
    with watched(server) as longest_s:
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            publisher.join()
        assert longest_s() < _LONGEST_S
    assert statuses == [202] * 4


def test_a_page_of_many_megabytes_holds_nobody_up_and_is_whole(server: OffhookServer, person: Person) -> None:
    for _ in range(2):
        assert ask(person, "POST", "/v1.0/events", batch(TEXT, 50))[0] == 202
    with watched(server) as longest_s:
        status, page = ask(person, "GET", "/v1.0/events")
        assert longest_s() < _LONGEST_S
    assert (status, page["next_cursor"]) == (200, "1.100")
    assert [event["position"] for event in page["result"]] == list(range(1, 101))
    assert {event["data"]["a"] for event in page["result"]} == {TEXT.strip('"')}
    assert set(page["result"][0]) == {"id", "type", "subject", "sequence", "position", "data", "tm_create"}


def test_an_answer_with_many_attempts_is_bounded_and_holds_nobody_up(server: OffhookServer, person: Person) -> None:
    assert ask(person, "PUT", "/v1.0/customer", b'{"webhook_uri":"https://hooks.example.com/"}')[0] == 200
    status, made = ask(person, "POST", "/v1.0/events", b'{"type":"a","data":{}}')
    assert status == 202
    with closing(sqlite3.connect(server.data / "offhook.db", timeout=20)) as database, database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
            "INSERT INTO attempts (delivery_key, number, outcome, started_at, latency_ms, response) "
            "SELECT deliveries.key, 1000 + i, 'refused', 4000000000000000 + i, 5, ? FROM n, deliveries "
            "JOIN events ON events.key = event_key WHERE events.id = ?",
            ("é".encode() * 2_048, made["ids"][0]),
        )
    with watched(server) as longest_s:
        status, answer = ask(person, "GET", f"/v1.0/events/{made['ids'][0]}/attempts")
        assert longest_s() < _LONGEST_S
    assert (status, list(answer)) == (200, ["result"])
    assert [attempt["number"] for attempt in answer["result"]] == list(range(5_001, 6_001))
    assert {attempt["response"] for attempt in answer["result"]} == {"é" * 2_048}
    assert answer["result"][0].keys() == {
        *("number", "destination", "uri", "outcome", "status_code", "latency_ms", "response", "tm_start", "detail"),
    }


def test_a_body_full_of_nothing_holds_nobody_up(server: OffhookServer, person: Person) -> None:
    for name, value in (("tag_ids", b'"",'), ("addresses", b'{"":[[]]},'), ("more", b"[],")):
        body = (
            b'{"username":"a","password":"long enough","' + name.encode() + b'":[' + value * (1_000_000 // len(value))
        )
        with watched(server) as longest_s:
            status, _ = ask(person, "POST", "/v1.0/agents", body[:-1] + b"]}")
            assert status == 413
            assert longest_s() < _LONGEST_S
