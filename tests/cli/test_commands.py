"""The command line against a running server, and without one."""

from __future__ import annotations

import json
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.doctor import interpreter_finding
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OFFHOOK, OffhookServer, clean_environment, offhook, wait_until
from tests.ports import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OffhookServer]:
    server = OffhookServer(tmp_path_factory.mktemp("cli") / "data", "--no-switch")
    server.start()
    yield server
    server.kill()


def test_customer_events_and_deliveries(server: OffhookServer) -> None:
    receiver = Receiver()
    try:
        changed = server.command("customer", "set", "--webhook-uri", receiver.uri)
        assert receiver.uri in changed.stdout.replace("\n", "")
        assert changed.stderr == ""  # plain http is well on loopback
        assert "offhook customer test" in changed.stdout
        tested = json.loads(server.command("customer", "test", "--json").stdout)
        assert tested["outcome"] == "succeeded"
        (event_id,) = json.loads(server.command("trigger", "message_created", "--json").stdout)["ids"]
        wait_until(lambda: len(receiver.snapshot()) == 2, "both arrive")
        wait_until(
            lambda: (
                json.loads(server.command("deliveries", "list", "--json").stdout)["result"][0]["status"] == "succeeded"
            ),
            "it is recorded",
        )
        listed = server.command("events", "list")
        assert "message_created" in listed.stdout
        assert max(len(line) for line in listed.stdout.splitlines()) <= 80
        assert event_id in listed.stdout
        shown = server.command("deliveries", "list").stdout
        assert "succeeded" in shown
        assert event_id in shown
        event = json.loads(server.command("events", "show", event_id, "--json").stdout)
        assert [attempt["status_code"] for attempt in event["attempts"]] == [200]
        assert event_id in server.command("events", "show", event_id).stdout
        position = str(event["position"])
        assert json.loads(server.command("events", "show", position, "--json").stdout)["id"] == event_id
        server.command("events", "resend", position)
        wait_until(lambda: len(receiver.snapshot()) == 3, "it is sent again")
        assert receiver.snapshot()[2].id == event_id
        assert "0 events" in server.command("events", "replay", "--after", "0").stdout
        rotated = json.loads(server.command("customer", "rotate-secret", "--json").stdout)
        assert rotated["webhook_secret"].startswith("whsec_")
    finally:
        receiver.close()


def test_a_test_that_fails_says_why_and_what_to_do(server: OffhookServer) -> None:
    port = free_port()
    server.command("customer", "set", "--webhook-uri", f"http://127.0.0.1:{port}/hook")
    try:
        tested = server.command("customer", "test", check=False)
        assert tested.returncode == 1
        assert f"Nothing listens on 127.0.0.1:{port}." in tested.stdout
        assert "Start your program" in tested.stdout
        tested = server.command("customer", "test", "--json", check=False)
        assert tested.returncode == 1
        assert json.loads(tested.stdout)["detail"] == f"nothing listens on 127.0.0.1:{port}"
        (event_id,) = json.loads(server.command("trigger", "message_created", "--json").stdout)["ids"]
        wait_until(
            lambda: f"Nothing listens on 127.0.0.1:{port}." in server.command("events", "show", event_id).stdout,
            "the attempt is shown with its words",
        )
        shown = server.command("deliveries", "list", "--limit", "1").stdout
        assert "message/" in shown
        assert "pending" in shown
        assert "refused, " in shown
        assert "ms: Nothing listens" in " ".join(shown.split())
        assert "Next try: 20" in " ".join(shown.split())
        assert max(map(len, shown.splitlines())) <= 80
    finally:
        off = server.command("customer", "set", "--webhook-uri", "")
    assert "events tail" in off.stdout


def test_the_list_of_deliveries_says_what_each_waits_for_and_can_be_of_one_event(server: OffhookServer) -> None:
    server.command("customer", "set", "--webhook-uri", f"http://127.0.0.1:{free_port()}/hook")
    try:
        batch = [{"type": "ping", "subject": "order/waiting", "data": {"n": number}} for number in range(2)]
        first, second = server.ask("POST", "/v1.0/events", batch)["ids"]
        position = server.ask("GET", f"/v1.0/events/{first}")["position"]
        wait_until(
            lambda: "Try 1, refused" in server.command("deliveries", "list", "--event", first).stdout,
            "the first is tried",
        )
        shown = server.command("deliveries", "list", "--event", second).stdout
        assert f"pending, behind {position}\n" in shown
        assert first not in shown
        shown = server.command("deliveries", "list", "--event", str(position)).stdout
        assert "pending\n" in shown
        assert second not in shown
        unknown = server.command("deliveries", "list", "--event", "evt_unknown", check=False)
        assert "EVENT_NOT_FOUND" in unknown.stderr
        assert server.ask("GET", "/v1.0/deliveries?event_id=evt_unknown")["result"] == []
        assert server.ask("GET", f"/v1.0/deliveries?event_id={first}&subject=order/other")["result"] == []
        assert server.ask("GET", f"/v1.0/deliveries?event_id={first}&status=exhausted")["result"] == []
    finally:
        server.command("customer", "set", "--webhook-uri", "")
    assert "held: off\n" in server.command("deliveries", "list", "--event", second).stdout


def test_lists_begin_with_the_newest_and_end_at_the_limit(server: OffhookServer) -> None:
    ids = [json.loads(server.command("trigger", "call_ringing", "--json").stdout)["ids"][0] for _ in range(3)]
    listed = json.loads(server.command("events", "list", "--limit", "2", "--json").stdout)
    assert [event["id"] for event in listed["result"]] == [ids[2], ids[1]]
    older = json.loads(
        server.command("events", "list", "--limit", "1", "--json", "--before", listed["next_cursor"]).stdout
    )
    assert [event["id"] for event in older["result"]] == [ids[0]]
    place = str(older["result"][0]["position"])
    newer = json.loads(server.command("events", "list", "--json", "--after", place).stdout)
    assert [event["id"] for event in newer["result"]] == ids[1:]
    assert server.command("events", "list", "--after", "1", "--before", "9", check=False).returncode == 2


def test_a_list_may_be_longer_than_a_page(server: OffhookServer) -> None:
    batch = [{"type": "ping", "subject": "order/1", "data": {"n": number}} for number in range(130)]
    server.ask("POST", "/v1.0/events", batch)
    listed = json.loads(server.command("events", "list", "--limit", "120", "--subject", "order/1", "--json").stdout)
    assert [event["data"]["n"] for event in listed["result"]] == list(range(129, 9, -1))
    everything = server.command("events", "list", "--limit", "5000", "--type", "ping")
    assert everything.stdout.count("order/1") == 130
    assert "More" not in everything.stdout


def test_times_are_the_wall_clocks_with_date_and_zone(server: OffhookServer) -> None:
    (event_id,) = json.loads(server.command("trigger", "call_ringing", "--json").stdout)["ids"]
    event = server.ask("GET", f"/v1.0/events/{event_id}")
    there = datetime.fromisoformat(event["tm_create"]).astimezone(timezone(timedelta(hours=3)))
    for command in (["events", "list"], ["events", "show", event_id]):
        shown = offhook(*command, OFFHOOK_URL=server.url, OFFHOOK_TOKEN=server.token, TZ="XYZ-3").stdout
        assert f"{there:%Y-%m-%d %H:%M:%S} XYZ" in shown


def test_a_payload_is_shown_over_as_many_lines_as_it_takes(server: OffhookServer) -> None:
    text = "a [bold]word[/] " * 20
    data = {"text": text, "number": 7, "escape": "\x1b[2J\x9b2J"}
    (event_id,) = server.ask("POST", "/v1.0/events", {"type": "ping", "data": data})["ids"]
    shown = server.command("events", "show", event_id).stdout
    assert '    "number": 7,\n' in shown
    assert text in shown
    assert not set(shown) & {"\x1b", "\x9b"}


def test_with_json_a_refusal_is_json_too(server: OffhookServer) -> None:
    refused = server.command("events", "show", "none-such", "--json", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = {"reason": "EVENT_NOT_FOUND", "message": "There is no event none-such.", "field": "id"}
    assert json.loads(refused.stderr) == {"error": said}
    refused = server.command("events", "list", "--json", "--limit", "none", check=False)
    assert refused.returncode == 2
    assert "--limit" in json.loads(refused.stderr)["error"]["message"]
    refused = server.command("events", "show", "999999", check=False)
    assert refused.returncode == 1
    assert "EVENT_NOT_FOUND" in refused.stderr


def test_a_played_call_is_said_to_be_none(server: OffhookServer) -> None:
    played = server.command("trigger", "call", "--fast")
    assert "`offhook calls list` does not know it" in played.stdout


def test_tail_says_what_changed_fits_a_terminal_and_ends_quietly(server: OffhookServer) -> None:
    server.command("trigger", "call", "--fast")
    tail = subprocess.Popen(
        [str(OFFHOOK), "events", "tail", "--from-start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(OFFHOOK_URL=server.url, OFFHOOK_TOKEN=server.token, PYTHONUNBUFFERED="1"),
    )
    assert tail.stdout is not None
    lines: list[str] = []
    while "call_hungup" not in "".join(lines):
        lines.append(tail.stdout.readline())
    tail.send_signal(signal.SIGINT)
    rest, complaints = tail.communicate(timeout=10)
    assert tail.returncode == 0
    assert "Abort" not in complaints
    assert "Traceback" not in complaints
    shown = "".join(lines) + rest
    assert max(map(len, shown.splitlines())) <= 80
    updated = [line for line in shown.splitlines() if " call_updated " in line]
    assert updated
    assert all("progressing" not in line for line in updated)


@pytest.mark.parametrize("url", ["foo", "ftp://example.com", "http://", "http://a b"])
def test_a_bad_address_of_the_server_is_named(url: str) -> None:
    refused = offhook("events", "list", check=False, OFFHOOK_URL=url, OFFHOOK_TOKEN="x")
    assert refused.returncode == 1
    assert f"OFFHOOK_URL is {url!r}, which is no URL" in refused.stderr


def test_what_a_server_cannot_be_started_with_is_said_in_a_sentence(tmp_path: Path) -> None:
    for options, said in (
        (("--database", "mysql://me:geheim@db/offhook"), "database.url is of mysql"),
        (("--asterisk", "http://127.0.0.1:8088/ari", "--asterisk-user", "me"), "switch.asterisk_password_file"),
    ):
        refused = offhook("serve", "--data", str(tmp_path / "data"), *options, check=False)
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "geheim" not in refused.stderr


def test_a_server_that_listens_elsewhere_is_found_by_its_folder(tmp_path: Path) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch")
    for _ in range(2):
        server.port = free_port()
        server.start()
        shown = offhook("customer", "show", "--data", str(server.data), "--json")
        assert json.loads(shown.stdout)["id"] == server.credentials["customer_id"]
        assert (server.data / "profile.json").stat().st_mode & 0o777 == 0o600
        assert server.stop() == 0


def test_tail_shows_what_happens(server: OffhookServer) -> None:
    tail = subprocess.Popen(
        [str(OFFHOOK), "events", "tail", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(OFFHOOK_URL=server.url, OFFHOOK_TOKEN=server.token, PYTHONUNBUFFERED="1"),
    )
    try:
        assert tail.stdout is not None
        shown, triggered = tail.stdout, list[str]()

        def comes_by() -> bool:
            triggered.extend(json.loads(server.command("trigger", "call_ringing", "--json").stdout)["ids"])
            return bool(select.select([shown], [], [], 0.1)[0])

        wait_until(comes_by, "some event is shown")
        assert json.loads(tail.stdout.readline())["id"] in triggered
    finally:
        tail.kill()
        tail.communicate()


def test_a_command_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    refused = offhook("events", "list", "--data", str(tmp_path), check=False)
    assert refused.returncode == 1
    assert "--data" in refused.stderr
    refused = offhook("events", "list", check=False, OFFHOOK_URL="http://127.0.0.1:9", OFFHOOK_TOKEN="x")
    assert refused.returncode == 1
    assert "offhook serve" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_servers_refusal_is_passed_on(server: OffhookServer) -> None:
    refused = server.command("customer", "set", "--webhook-uri", "ftp://example.com", check=False)
    assert refused.returncode == 1
    assert "INVALID_WEBHOOK_URI" in refused.stderr
    assert "webhook_uri" in refused.stderr
    unknown = offhook("customer", "show", check=False, OFFHOOK_URL=server.url, OFFHOOK_TOKEN="nonsense")
    assert "OFFHOOK_TOKEN" in unknown.stderr


def test_a_second_init_refuses_and_says_how_to_reset_the_password(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    first = json.loads(offhook("init", "--data", data, "--json").stdout)
    assert set(first) == {"customer_id", "username", "password", "access_key", "webhook_secret"}
    second = offhook("init", "--data", data, check=False)
    assert second.returncode == 1
    assert "reset-password" in second.stderr
    reset = offhook("agent", "reset-password", "--data", data, first["username"])
    password = reset.stdout.strip().rpartition(" ")[2]
    assert len(password) > 15
    assert password != first["password"]
    missing = offhook("agent", "reset-password", "--data", data, "nobody", check=False)
    assert missing.returncode == 1
    assert "nobody" in missing.stderr


def test_settings_can_be_looked_at(tmp_path: Path) -> None:
    shown = offhook("config", "show", "--data", str(tmp_path), "--json", OFFHOOK_DELIVERY__TIMEOUT="3s")
    rows = json.loads(shown.stdout)
    assert rows["delivery.timeout"] == {"value": "3s", "source": "environment"}
    refused = offhook("serve", "--data", str(tmp_path), check=False, OFFHOOK_DELIVRY__TIMEOUT="3s")
    assert refused.returncode == 1
    assert "delivery.timeout" in refused.stderr


def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "offhook.db").write_bytes(b"this is no database" * 100)
    found = offhook("doctor", "--data", str(data), "--json", check=False, OFFHOOK_SERVER__PORT="1023")
    findings = {finding["check"]: finding for finding in json.loads(found.stdout)}
    assert found.returncode == 1
    assert not findings["database"]["good"]
    assert findings["database"]["advice"]
    assert findings["disk"]["good"]
    assert findings["asterisk"]["good"]
    assert findings["speech"]["good"]


def test_the_doctor_only_warns_of_what_cannot_be_checked_offline(tmp_path: Path) -> None:
    # Nobody answers there, as nobody does on a machine without a network.
    nowhere = "http://127.0.0.1:9"
    arguments = ("doctor", "--data", str(tmp_path / "data"))
    environment = {
        **dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"), nowhere),
        "no_proxy": "",
        "NO_PROXY": "",
        "OFFHOOK_SWITCH__ENABLED": "false",
        "OFFHOOK_SERVER__PORT": str(free_port()),
        "OFFHOOK_SWITCH__SIP": f"127.0.0.1:{free_port()}",
    }
    found = offhook(*arguments, "--json", check=False, **environment)
    findings = {finding["check"]: finding for finding in json.loads(found.stdout)}
    assert found.returncode == 0, found.stdout
    for name in ("network", "clock"):
        assert (findings[name]["good"], findings[name]["warning"]) == (False, True)
        assert findings[name]["advice"]
    shown = offhook(*arguments, check=False, **environment)
    assert shown.returncode == 0
    assert "warn clock" in shown.stdout
    assert "python" in shown.stdout


@pytest.mark.parametrize(
    ("prefix", "arguments", "is_debug", "good"),
    [
        ("/usr", "'--prefix=/usr'", False, True),
        ("/opt/python", "'--prefix=/opt/python' '--enable-optimizations'", False, True),
        ("/opt/python", "'--prefix=/opt/python' '--enable-shared'", False, False),
        ("/usr", "'--with-pydebug'", True, False),
    ],
)
def test_an_interpreter_that_was_built_without_optimisation_is_named(
    prefix: str, arguments: str, is_debug: bool, good: bool
) -> None:
    finding = interpreter_finding(prefix, arguments, is_debug=is_debug)
    assert (finding.good, finding.is_fault) == (good, False)
    assert bool(finding.advice) is not good


def test_set_up_takes_the_distributions_python_if_it_is_new_enough(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.symlink_to(sys.executable)
    check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    system = Path("/usr/bin/python3")
    will_do = system.exists() and subprocess.run([system, "-c", check], capture_output=True).returncode == 0
    chosen = subprocess.run(
        [Path(__file__).parents[2] / "scripts" / "setup.sh", "python"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert chosen.stdout.strip() == str(system if will_do else other)


def test_the_doctor_names_rows_that_cannot_be_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    offhook("init", "--data", str(data))

    def rows_found() -> dict[str, Any]:
        found = offhook("doctor", "--data", str(data), "--json", check=False)
        (finding,) = [one for one in json.loads(found.stdout) if one["check"] == "rows"]
        return dict(finding)

    assert rows_found()["good"]
    with sqlite3.connect(data / "offhook.db") as database:
        database.execute(
            "INSERT INTO calls (key, id, customer_id, version, is_open, is_final, document, tm_create, tm_update) "
            "VALUES (1, 'spoilt', 'c', 1, 1, 0, '{}', 1, 1)"
        )
    finding = rows_found()
    assert not finding["good"]
    assert "call spoilt: " in finding["message"]
    assert finding["advice"]


def test_a_server_started_without_a_terminal_keeps_its_first_credentials_in_a_private_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = OffhookServer(tmp_path / "other", "--no-switch")
    server.data = data
    server.start()
    file = data / "first-credentials.txt"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (data / "profile.json").stat().st_mode & 0o777 == 0o600
    assert (data / "offhook.db").stat().st_mode & 0o077 == 0
    key = next(line.split()[-1] for line in file.read_text().splitlines() if "access key" in line)
    assert server.request("GET", "/v1.0/customer", token=key)[0] == 200
    assert key not in server.log.read_text()
    shown = offhook("customer", "show", "--data", str(data), "--json")
    assert json.loads(shown.stdout)["status"] == "active"
    assert "Keep them and delete the file." not in server.log.read_text()
    # Nobody has seen them: whether it ends well or is killed, later starts say so, until the file is gone.
    server.kill()
    reminder = f"The first customer's credentials are in {file}. Keep them and delete the file."
    server.start()
    assert server.stop() == 0
    assert server.log.read_text().count(reminder) == 1
    assert server.log.read_text().count("start.credentials_left") == 1
    file.unlink()
    server.start()
    assert server.stop() == 0
    assert server.log.read_text().count(reminder) == 1
