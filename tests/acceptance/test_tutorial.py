"""The tutorial, letter for letter: its curl lines with host and token replaced, its programs, its event."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer, wait_until
from tests.domain.test_catalogue import CONTRACT
from tests.examples.conftest import node as node
from tests.examples.program import EXAMPLES, Program, running
from tests.postgres import Postgres

CONFIGURE = """curl --location --request PUT 'https://api.voipbin.net/v1.0/customer?token=<YOUR_AUTH_TOKEN>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
"webhook_uri": "https://your-server.com/voipbin/webhook",
"webhook_method": "POST"
}'"""
VERIFY = """curl --location --request GET 'https://api.voipbin.net/v1.0/customer?token=<YOUR_AUTH_TOKEN>'"""
DISABLE = """curl --location --request PUT 'https://api.voipbin.net/v1.0/customer?token=<YOUR_AUTH_TOKEN>' \\
--header 'Content-Type: application/json' \\
--data-raw '{
"webhook_uri": "",
"webhook_method": ""
}'"""

# The tutorial's list is the contract's without what the contract completed it with.
TUTORIAL_EVENTS = [
    name
    for name in CONTRACT
    if name
    not in {
        "queue_deleted",
        "queuecall_waiting",
        "queuecall_done",
        "queuecall_abandoned",
        "conference_deleted",
        "confbridge_deleted",
    }
]


def curl(line: str, server: OffhookServer, token: str, uri: str = "") -> dict[str, object]:
    """Run a line of the tutorial against our server."""
    line = line.replace("https://api.voipbin.net", server.url).replace("<YOUR_AUTH_TOKEN>", token)
    line = line.replace("https://your-server.com/voipbin/webhook", uri)
    done = subprocess.run(
        [*shlex.split(line.replace("\\\n", " ")), "--silent", "--show-error"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def log_in(server: OffhookServer) -> str:
    """The tutorial's first way to a token: POST /auth/login."""
    credentials = {name: server.credentials[name] for name in ("username", "password")}
    status, answer = server.request("POST", "/auth/login", credentials)
    assert status == 200
    token: str = answer["token"]
    return token


@pytest.mark.parametrize("way", ["login", "access key"])
def test_the_curl_lines_configure_verify_and_disable(server: OffhookServer, receiver: Receiver, way: str) -> None:
    token = log_in(server) if way == "login" else server.token
    before = curl(VERIFY, server, token)
    changed = curl(CONFIGURE, server, token, receiver.uri)
    assert (changed["webhook_uri"], changed["webhook_method"]) == (receiver.uri, "POST")
    seen = curl(VERIFY, server, token)
    assert (seen["webhook_uri"], seen["webhook_method"]) == (receiver.uri, "POST")
    assert (seen["name"], seen["email"]) == (before["name"], before["email"])

    server.command("trigger", "call_hungup")
    wait_until(receiver.snapshot, "the webhook arrives")

    disabled = curl(DISABLE, server, token)
    assert (disabled["webhook_uri"], disabled["webhook_method"]) == ("", "")
    server.command("trigger", "call_hungup")
    wait_until(lambda: len(server.ask("GET", "/v1.0/events")["result"]) == 2, "the event is logged all the same")
    assert len(receiver.snapshot()) == 1


def test_every_event_of_the_tutorial_can_be_triggered_and_arrives_signed(
    server: OffhookServer, receiver: Receiver
) -> None:
    curl(CONFIGURE, server, server.token, receiver.uri)
    for name in TUTORIAL_EVENTS:
        server.command("trigger", name)
    wait_until(lambda: len(receiver.first_arrivals()) == len(TUTORIAL_EVENTS), "all events arrive")
    assert {received.type for received in receiver.snapshot()} == set(TUTORIAL_EVENTS)
    assert all(set(received.event) == {"type", "data"} for received in receiver.snapshot())
    receiver.verify_all(server.credentials["webhook_secret"])


def _shows_a_call(program: Program, server: OffhookServer, expected: str) -> None:
    uri = f"http://127.0.0.1:{program.port}/voipbin/webhook"
    curl(CONFIGURE, server, server.token, uri)
    server.command("trigger", "call", "--fast")
    events = server.ask("GET", "/v1.0/events?type=call_hungup")["result"]
    program.wait_for_line(expected.format(id=events[0]["data"]["id"], reason=events[0]["data"]["hangup_reason"]))


def test_the_flask_program_sees_a_call_end(server: OffhookServer) -> None:
    with running([sys.executable, str(EXAMPLES / "python" / "tutorial_flask.py")]) as program:
        _shows_a_call(program, server, "Call {id} ended: {reason}")


def test_the_express_program_sees_a_call_end(server: OffhookServer, node: str) -> None:
    with running([node, str(EXAMPLES / "node" / "tutorial_express.js")]) as program:
        _shows_a_call(program, server, "Call {id} ended")


def test_a_server_started_without_a_folder_makes_one_and_keeps_the_credentials_private(tmp_path: Path) -> None:
    data = tmp_path / "new"
    server = OffhookServer(data, "--no-switch")
    assert (data / "profile.json").stat().st_mode & 0o777 == 0o600
    server.start()
    assert server.stop() == 0


def test_everything_works_on_postgresql_too(tmp_path: Path, postgres: Postgres, receiver: Receiver) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch", "--database", postgres.new_database())
    server.start()
    curl(CONFIGURE, server, server.token, receiver.uri)
    server.command("trigger", "call", "--fast")
    wait_until(lambda: "call_hungup" in [received.type for received in receiver.snapshot()], "the call arrives")
    assert [received.sequence for received in receiver.first_arrivals()] == [1, 2, 3, 4, 5, 6, 7]
    receiver.verify_all(server.credentials["webhook_secret"])
    wait_until(
        lambda: {row["status"] for row in server.ask("GET", "/v1.0/deliveries")["result"]} == {"succeeded"}, "recorded"
    )
    server.kill()
