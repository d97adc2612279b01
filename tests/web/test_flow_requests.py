"""What a flow fetches and sends: signed, guarded, and its answer counts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import standardwebhooks

from tests.acceptance.server import OffhookServer, wait_until
from tests.web.conftest import Person

TOO_LARGE = b"[" + b" " * 262_144 + b"]"


class Program:
    """A customer's program: it is asked for actions, and told things."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = 200
        self.answer = b"[]"
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def answer_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.asked.append((self.command, self.path, headers, body))
                self.send_response(owner.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(owner.answer)))
                self.end_headers()
                self.wfile.write(owner.answer)

            do_POST = do_PUT = do_GET = do_DELETE = answer_any  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def run(person: Person, *actions: dict[str, Any], **body: Any) -> dict[str, Any]:
    """An execution of these, once it has ended."""
    status, started = person.request("POST", "/v1.0/activeflows", {"actions": list(actions), **body})
    assert status == 201, started
    path = f"/v1.0/activeflows/{started['id']}"
    wait_until(lambda: person.request("GET", path)[1]["status"] == "ended", "it has ended")
    ended: dict[str, Any] = person.request("GET", path)[1]
    return ended


def executed(ended: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(action["type"], bool(action["error"])) for action in ended["executed_actions"]]


def test_actions_are_fetched_and_run(person: Person, program: Program) -> None:
    program.answer = json.dumps([{"type": "variable_set", "option": {"key": "a", "value": "b"}}]).encode()
    ended = run(person, {"type": "fetch", "option": {"event_url": f"{program.uri}/menu"}}, {"type": "empty"})
    assert executed(ended) == [("fetch", False), ("variable_set", False), ("empty", False)]
    ((method, path, headers, body),) = program.asked
    assert (method, path) == ("POST", "/menu")
    assert json.loads(body) == {"activeflow_id": ended["id"], "reference_id": ended["reference_id"]}
    secret = person.request("GET", "/v1.0/customer")[1]["webhook_secret"]
    standardwebhooks.Webhook(secret).verify(body, headers)


def test_what_is_sent_and_waited_for_is_the_data_as_it_is(person: Person, program: Program) -> None:
    option = {"uri": f"{program.uri}/told", "method": "PUT", "data": '{"who": "${who}"}', "sync": True}
    ended = run(person, {"type": "webhook_send", "option": option}, {"type": "empty"}, variables={"who": "Ada"})
    assert executed(ended) == [("webhook_send", False), ("empty", False)]
    ((method, _, headers, body),) = program.asked
    assert (method, body, headers["content-type"]) == ("PUT", b'{"who": "Ada"}', "application/json")
    secret = person.request("GET", "/v1.0/customer")[1]["webhook_secret"]
    standardwebhooks.Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(("status", "answer"), [(302, b"[]"), (500, b"[]"), (200, b"{}"), (200, TOO_LARGE)])
def test_what_is_no_list_of_actions_ends_the_flow(person: Person, program: Program, status: int, answer: bytes) -> None:
    program.status, program.answer = status, answer
    ended = run(person, {"type": "fetch", "option": {"event_url": program.uri}}, {"type": "empty"})
    assert executed(ended) == [("fetch", True)]
    # A redirect is not followed.
    assert len(program.asked) == 1


def test_a_failure_to_send_does_not_end_the_flow(person: Person, program: Program) -> None:
    program.status = 500
    option = {"uri": program.uri, "data": "{}", "sync": True}
    ended = run(person, {"type": "webhook_send", "option": option}, {"type": "empty"})
    assert executed(ended) == [("webhook_send", True), ("empty", False)]
    assert ended["executed_actions"][0]["error"] == "The server answered 500."


def test_an_address_that_is_known_only_when_it_runs_is_guarded_all_the_same(
    server: OffhookServer, person: Person
) -> None:
    inner = f"127.0.0.1:{server.port}"
    actions = [{"type": "webhook_send", "option": {"uri": "http://${host}/", "data": "{}", "sync": True}}]
    for host in (inner, "10.0.0.1", "localhost:1"):
        ended = run(person, *actions, variables={"host": host})
        assert executed(ended) == [("webhook_send", True)]
