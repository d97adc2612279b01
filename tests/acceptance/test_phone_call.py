"""A number is dialled on a real phone: what the customer's endpoint is told, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.receiver import Received, Receiver
from tests.acceptance.server import OffhookServer, wait_until
from tests.examples.conftest import node as node
from tests.examples.program import EXAMPLES, running
from tests.examples.test_node_library import answers_of
from tests.ports import free_port
from tests.rounds import IS_LONG
from tests.sipp.phone import sipp_command

SCENARIO = Path(__file__).parents[2] / "scripts" / "call.xml"
WHOLE_CALL = ["call_created", "call_ringing", "call_answered", "call_updated", "call_updated", "call_hungup"]
# One for each of its actions: it rings, is answered, hears the greeting, and then itself.
WHOLE_FLOW = ["activeflow_created", *["activeflow_updated"] * 4, "activeflow_deleted"]


class PhoneServer(OffhookServer):
    """A server with its embedded Asterisk."""

    def __init__(self, data: Path) -> None:
        self.sip = f"127.0.0.1:{free_port()}"
        super().__init__(data, "--sip", self.sip, OFFHOOK_SWITCH__RING_TIME="300ms")

    def dial(self, folder: Path, talk_s: float = 1.0, count: int = 1, rate: int = 10) -> subprocess.Popen[bytes]:
        """Call from a real phone, talk, hang up; so many times, so many a second."""
        arguments = ["-sf", str(SCENARIO), "-s", "+15559876543", "-i", "127.0.0.1", "-m", str(count), "-r", str(rate)]
        arguments += ["-p", str(free_port()), "-nostdin"]
        return subprocess.Popen(
            [*sipp_command(), *arguments, "-d", str(int(talk_s * 1000)), "-timeout", "60", self.sip],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TERM": "dumb"},
        )

    def asterisk_pid(self) -> int:
        running = json.loads((self.data / "asterisk" / "running.json").read_text())
        pid: int = running["process"]["pid"]
        return pid


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[PhoneServer]:
    server = PhoneServer(tmp_path / "data")
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    yield server
    if server.process is None or server.process.poll() is not None:
        server.start()
    assert server.stop() == 0


def arrivals(receiver: Receiver, kind: str = "call") -> list[Received]:
    """What came of subjects of that kind, in the order in which it came first."""
    return [received for received in receiver.first_arrivals() if received.subject.startswith(f"{kind}/")]


def types(receiver: Receiver, kind: str = "call") -> list[str]:
    return [received.type for received in arrivals(receiver, kind)]


def wait_for(receiver: Receiver, event_type: str) -> None:
    wait_until(lambda: event_type in types(receiver), f"{event_type} arrives")


def the_end(server: PhoneServer, receiver: Receiver) -> dict[str, str]:
    """The one call_hungup there is, and nothing after it."""
    wait_for(receiver, "call_hungup")
    if server.process is not None and server.process.poll() is None:
        (last,) = server.ask("POST", "/v1.0/events", {"type": "last", "data": {}})["ids"]
        wait_until(lambda: any(one.id == last for one in receiver.snapshot()), "one that comes later arrives")
        wait_until(lambda: server.ask("GET", "/v1.0/webhook_stats")["pending"] == 0, "nothing is on its way")
    assert types(receiver).count("call_hungup") == 1
    assert types(receiver)[-1] == "call_hungup"
    data: dict[str, str] = arrivals(receiver)[-1].event["data"]
    return data


def verify_with_node(node: str, receiver: Receiver, secret: str) -> None:
    """The same by the public library for Node.js."""
    asked = [
        {
            "secret": secret,
            "id": received.id,
            "timestamp": int(received.headers["webhook-timestamp"]),
            "body": received.body.decode(),
            "signature": received.headers["webhook-signature"],
        }
        for received in receiver.snapshot()
    ]
    assert all(answer["verified"] for answer in answers_of(node, asked))


def test_a_dialled_number_becomes_signed_webhooks_in_order(
    server: PhoneServer, receiver: Receiver, tmp_path: Path, node: str
) -> None:
    assert server.dial(tmp_path, talk_s=2.5).wait(40) == 0
    end = the_end(server, receiver)
    assert types(receiver) == WHOLE_CALL
    wait_until(lambda: "activeflow_deleted" in types(receiver, "activeflow"), "the end of its flow")
    assert types(receiver, "activeflow") == WHOLE_FLOW
    for kind, named in (("call", end["id"]), ("activeflow", end["activeflow_id"])):
        assert [received.sequence for received in arrivals(receiver, kind)] == [1, 2, 3, 4, 5, 6]
        assert {received.subject for received in arrivals(receiver, kind)} == {f"{kind}/{named}"}
    assert (end["hangup_by"], end["hangup_reason"], end["direction"]) == ("remote", "normal", "incoming")
    assert end["tm_create"] < end["tm_ringing"] < end["tm_progressing"] < end["tm_hangup"]
    receiver.verify_all(server.credentials["webhook_secret"])
    verify_with_node(node, receiver, server.credentials["webhook_secret"])
    assert server.ask("GET", f"/v1.0/calls/{end['id']}") == end


def test_what_a_flow_of_the_customers_says_is_spoken(server: PhoneServer, receiver: Receiver, tmp_path: Path) -> None:
    actions = [{"type": "talk", "option": {"text": "Hello."}}, {"type": "block"}]
    flow = server.ask("POST", "/v1.0/flows", {"name": "Hello", "actions": actions})
    number = next(one for one in server.ask("GET", "/v1.0/numbers")["result"] if one["number"] == "+15559876543")
    server.ask("PUT", f"/v1.0/numbers/{number['id']}", {"call_flow_id": flow["id"]})
    phone = server.dial(tmp_path, talk_s=30)
    wait_until(lambda: "call_updated" in types(receiver), "it was heard to its end")
    (call,) = server.ask("GET", "/v1.0/calls")["result"]
    assert (call["status"], call["action"]["type"]) == ("progressing", "block")
    shown = server.ask("GET", f"/v1.0/activeflows/{call['activeflow_id']}")
    assert [action["error"] for action in shown["executed_actions"]] == [""]
    (sound,) = (server.data / "speech").iterdir()
    assert (sound.stat().st_mode & 0o777, sound.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    server.ask("POST", f"/v1.0/calls/{call['id']}/hangup")
    the_end(server, receiver)
    phone.kill()
    phone.wait()


def test_the_tutorials_flask_program_sees_a_real_call_end(server: PhoneServer, tmp_path: Path) -> None:
    with running([sys.executable, str(EXAMPLES / "python" / "tutorial_flask.py")]) as program:
        uri = f"http://127.0.0.1:{program.port}/voipbin/webhook"
        server.ask("PUT", "/v1.0/customer", {"webhook_uri": uri, "webhook_method": "POST"})
        assert server.dial(tmp_path).wait(40) == 0
        call = wait_until(
            lambda: [call for call in server.ask("GET", "/v1.0/calls")["result"] if call["status"] == "hangup"],
            "the call is over",
        )[0]
        program.wait_for_line(f"Call {call['id']} ended: normal")


def test_we_hang_up(server: PhoneServer, receiver: Receiver, tmp_path: Path) -> None:
    phone = server.dial(tmp_path, talk_s=30)
    wait_for(receiver, "call_answered")
    (call,) = server.ask("GET", "/v1.0/calls")["result"]
    assert server.ask("POST", f"/v1.0/calls/{call['id']}/hangup")["status"] == "terminating"
    end = the_end(server, receiver)
    assert (end["hangup_by"], end["hangup_reason"]) == ("local", "normal")
    phone.kill()
    phone.wait()


def test_killing_the_server_in_mid_call_loses_nothing_of_it(
    server: PhoneServer, receiver: Receiver, tmp_path: Path
) -> None:
    phone = server.dial(tmp_path, talk_s=4)
    wait_for(receiver, "call_answered")
    asterisk = server.asterisk_pid()
    server.kill()
    server.start()
    assert server.asterisk_pid() == asterisk
    assert phone.wait(40) == 0
    end = the_end(server, receiver)
    assert (end["hangup_by"], end["hangup_reason"]) == ("remote", "normal")


def test_a_call_that_ends_while_the_server_is_dead_is_told_at_its_next_start(
    server: PhoneServer, receiver: Receiver, tmp_path: Path
) -> None:
    phone = server.dial(tmp_path, talk_s=1.5)
    wait_for(receiver, "call_answered")
    server.kill()
    assert phone.wait(40) == 0
    server.start()
    assert the_end(server, receiver)["status"] == "hangup"


def test_killing_asterisk_in_mid_call_ends_the_call_once(
    server: PhoneServer, receiver: Receiver, tmp_path: Path
) -> None:
    phone = server.dial(tmp_path, talk_s=30)
    wait_for(receiver, "call_answered")
    os.kill(server.asterisk_pid(), signal.SIGKILL)
    assert the_end(server, receiver)["hangup_by"] == "remote"
    phone.kill()
    phone.wait()
    wait_until(lambda: server.request("GET", "/readyz")[0] == 200, "a new Asterisk is connected")
    assert server.dial(tmp_path, talk_s=0.5).wait(40) == 0
    wait_until(lambda: types(receiver).count("call_hungup") == 2, "the next call works")


def test_a_stop_ends_calls_and_says_so(server: PhoneServer, receiver: Receiver, tmp_path: Path) -> None:
    phone = server.dial(tmp_path, talk_s=30)
    wait_for(receiver, "call_answered")
    asterisk = server.asterisk_pid()
    assert server.stop() == 0
    end = the_end(server, receiver)
    assert (end["hangup_by"], end["hangup_reason"]) == ("local", "normal")
    assert not Path(f"/proc/{asterisk}").exists()
    phone.kill()
    phone.wait()


@pytest.mark.skipif(not IS_LONG, reason="in `make test-all`")
@pytest.mark.timeout(180)
def test_a_server_that_stood_still_for_ten_seconds_under_load_loses_no_call(
    server: PhoneServer, receiver: Receiver, tmp_path: Path
) -> None:
    """Asterisk closes a stream that it cannot write to; what happened meanwhile is found out."""
    phone = server.dial(tmp_path, talk_s=1.0, count=150, rate=30)
    wait_for(receiver, "call_answered")
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(10)
    server.process.send_signal(signal.SIGCONT)
    phone.wait(90)
    wait_until(
        lambda: all(call["status"] == "hangup" for call in server.ask("GET", "/v1.0/calls")["result"]),
        "no call is open",
        60,
    )
    wait_until(lambda: types(receiver).count("call_hungup") == types(receiver).count("call_created"), "all ends", 60)
    ends = [one.subject for one in arrivals(receiver) if one.type == "call_hungup"]
    assert len(ends) == len(set(ends)) > 10


def test_what_a_live_call_can_be_asked_for(server: PhoneServer, receiver: Receiver, tmp_path: Path) -> None:
    calling = server.dial(tmp_path, talk_s=30)
    wait_until(lambda: types(receiver).count("call_updated") == 2, "it comes to the echo")
    call_id = arrivals(receiver)[0].event["data"]["id"]
    path = f"/v1.0/calls/{call_id}"
    for what in ("hold", "moh", "silence"):
        for method in ("POST", "POST", "DELETE", "DELETE", "POST"):
            assert server.request(method, f"{path}/{what}") == (200, "")
    assert server.ask("GET", path)["metadata"] == {"hold": True, "moh": True, "silence": True}
    for method, body, muted in (
        ("POST", {"direction": "out"}, "out"),
        ("POST", None, "both"),
        ("DELETE", {"direction": "out"}, "in"),
        ("DELETE", {}, ""),
    ):
        assert server.request(method, f"{path}/mute", body) == (200, "")
        assert server.ask("GET", path)["mute_direction"] == muted
    assert server.ask("DELETE", path)["status"] == "terminating"
    end = the_end(server, receiver)
    assert calling.wait(40) is not None
    assert end["tm_delete"] is not None
    assert (end["hangup_by"], end["hangup_reason"]) == ("local", "normal")
    assert types(receiver).count("call_updated") == 2 + 9 + 4 + 1
    assert server.request("GET", path)[0] == 404
    assert [call["id"] for call in server.ask("GET", "/v1.0/calls")["result"]] == []
    for method, what, refusal in (
        ("DELETE", "", (409, "STATE_INVALID")),
        ("POST", "/hold", (404, "CALL_NOT_FOUND")),
        ("DELETE", "/mute", (404, "CALL_NOT_FOUND")),
    ):
        status, answer = server.request(method, f"{path}{what}")
        assert (status, answer["error"]["reason"]) == refusal


def test_a_call_ends_when_it_lasts_longer_than_the_setting_says(tmp_path: Path, receiver: Receiver) -> None:
    server = PhoneServer(tmp_path / "data")
    server.environment["OFFHOOK_SWITCH__MAX_CALL_TIME"] = "2s"
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    calling = server.dial(tmp_path, talk_s=30)
    assert the_end(server, receiver)["hangup_reason"] == "timeout"
    assert calling.wait(40) is not None
    assert server.stop() == 0
