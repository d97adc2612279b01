"""The example programs, run as they stand: what they print, answer and refuse."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import pytest

from offhook.domain.catalogue import EVENT_TYPES, sample
from offhook.domain.delivery.signature import Signer, new_secret

from .program import EXAMPLES, Program, running

SECRET, OLD_SECRET = new_secret(), new_secret()
JSON = {"Content-Type": "application/json"}
SIMULATED = b"""{
"type": "call_hungup",
"data": {
"id": "test-call-id",
"hangup_reason": "normal",
"source": {
"type": "tel",
"target": "+15551234567"
},
"destination": {
"type": "tel",
"target": "+15559876543"
}
}
}"""
"""The event that the webhook tutorial sends with curl, byte for byte."""


@pytest.fixture(scope="module")
def tutorial_flask() -> Iterator[Program]:
    with running([sys.executable, "python/tutorial_flask.py"]) as program:
        yield program


@pytest.fixture(scope="module")
def tutorial_express(node: str) -> Iterator[Program]:
    with running([node, "node/tutorial_express.js"]) as program:
        yield program


@pytest.fixture(scope="module", params=["plain", "flask", "asgi", "express"])
def verified(request: pytest.FixtureRequest) -> Iterator[Program]:
    if request.param == "express":
        command = [request.getfixturevalue("node"), "node/verified_express.js"]
    else:
        command = [sys.executable, f"python/verified_{request.param}.py"]
    with running(command, WEBHOOK_SECRET=f"{SECRET} {OLD_SECRET}") as program:
        yield program


def signed(secret: str, body: bytes, event_id: str, *, age_s: int = 0) -> dict[str, str]:
    timestamp = int(time.time()) - age_s
    standard, voipbin = Signer([secret]).headers(event_id, timestamp, body)
    return JSON | {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard,
        "X-VoIPBIN-Signature": voipbin,
    }


def body_of(name: str) -> bytes:
    return json.dumps(sample(name)).encode()


def test_the_tutorials_flask_program_takes_its_simulated_event(tutorial_flask: Program) -> None:
    status, answer = tutorial_flask.request(SIMULATED, JSON)
    assert (status, json.loads(answer)) == (200, {"status": "received"})
    tutorial_flask.wait_for_line("Call test-call-id ended: normal")


def test_the_tutorials_express_program_takes_its_simulated_event(tutorial_express: Program) -> None:
    tutorial_express.wait_for_line(f"Webhook server listening on port {tutorial_express.port}")
    status, answer = tutorial_express.request(SIMULATED, JSON)
    assert (status, json.loads(answer)) == (200, {"status": "received"})
    tutorial_express.wait_for_line("Received event: call_hungup")
    tutorial_express.wait_for_line("Call test-call-id ended")


def test_the_tutorials_programs_take_every_event_of_the_catalogue(
    tutorial_flask: Program, tutorial_express: Program
) -> None:
    for name in EVENT_TYPES:
        for program in (tutorial_flask, tutorial_express):
            headers = signed(SECRET, body_of(name), f"evt_{name}")
            assert program.request(body_of(name), headers)[0] == 200, name
    call, message, recording = (
        sample(name)["data"] for name in ("call_hungup", "message_created", "recording_updated")
    )
    said = f"Message from {message['source']['target']}: {message['text']}"
    tutorial_flask.wait_for_line(f"Call {call['id']} ended: normal")
    tutorial_express.wait_for_line(f"Call {call['id']} ended")
    for program in (tutorial_flask, tutorial_express):
        program.wait_for_line(said)
        program.wait_for_line(f"Recording {recording['id']} status: ended")
    tutorial_express.wait_for_line("Unknown event type: queuecall_kicking")


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET], ids=["newest", "older"])
def test_a_verified_program_takes_what_was_signed(verified: Program, secret: str) -> None:
    event_id = f"evt_taken_{secret == SECRET}"
    body = body_of("call_hungup")
    status, answer = verified.request(body, signed(secret, body, event_id))
    assert (status, json.loads(answer)) == (200, {"status": "received"})


def test_a_verified_program_works_on_an_event_once(verified: Program) -> None:
    for name, attempts in (("call_hungup", 2), ("message_created", 3), ("call_ringing", 1)):
        for _ in range(attempts):
            assert verified.request(body_of(name), signed(SECRET, body_of(name), f"evt_once_{name}"))[0] == 200
    # A program prints before it answers, so once the last event is on its output, nothing earlier is outstanding.
    last = ("Event call_ringing, number None of None", "call_ringing of None: ringing", "Event call_ringing")
    verified.wait_for_line(*last)
    message = sample("message_created")["data"]
    worked = (f"Message from {message['source']['target']}: {message['text']}", "message_created of None: ")
    assert sum(line in worked for line in verified.lines) == 1


@pytest.mark.parametrize("case", ["unsigned", "another secret", "another body", "an hour old"])
def test_a_verified_program_refuses_everything_else(verified: Program, case: str) -> None:
    headers = {
        "unsigned": JSON,
        "another secret": signed(new_secret(), SIMULATED, "evt_a"),
        "another body": signed(SECRET, SIMULATED + b" ", "evt_b"),
        "an hour old": signed(SECRET, SIMULATED, "evt_c", age_s=3_600),
    }[case]
    assert verified.request(SIMULATED, headers)[0] == 400
    assert verified.request(SIMULATED, signed(SECRET, SIMULATED, "evt_control_" + case.replace(" ", "_")))[0] == 200


def test_the_readme_names_every_program() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    programs = [*EXAMPLES.glob("python/*.py"), *EXAMPLES.glob("node/*.js")]
    assert len(programs) == 6
    for program in programs:
        assert f"`{program.relative_to(EXAMPLES).as_posix()}`" in readme


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((EXAMPLES / "node" / "package-lock.json").read_text(encoding="utf-8"))
    assert lock["packages"]
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
