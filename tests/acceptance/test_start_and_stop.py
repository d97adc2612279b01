"""From the start of a server to its end, as a person or a service manager sees it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.switch.asterisk.process import ProcessId
from tests.acceptance.receiver import Received, Receiver
from tests.acceptance.server import HEARING_HANGUPS, OFFHOOK, OffhookServer, clean_environment, wait_until
from tests.ports import free_port
from tests.sipp.switches import SharedAsterisk


@pytest.fixture
def phone_server(tmp_path: Path) -> Iterator[OffhookServer]:
    server = OffhookServer(
        tmp_path / "data",
        "--sip",
        f"127.0.0.1:{free_port()}",
        OFFHOOK_DELIVERY__DRAIN_TIME="1m",
        OFFHOOK_DELIVERY__TIMEOUT="30s",
    )
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()
    left = asterisk_of(server)
    if left is not None:
        left.send(signal.SIGKILL)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SharedAsterisk]:
    asterisk = SharedAsterisk(tmp_path / "own")
    yield asterisk
    asterisk.stop()  # one that was killed is started for that


def asterisk_of(server: OffhookServer) -> ProcessId | None:
    try:
        noted = json.loads((server.data / "asterisk" / "running.json").read_text())
    except FileNotFoundError:
        return None
    return ProcessId(noted["process"]["pid"], noted["process"]["began"])


def test_a_signal_that_comes_twice_within_a_moment_is_one_and_leaves_no_asterisk(phone_server: OffhookServer) -> None:
    asterisk = asterisk_of(phone_server)
    assert asterisk is not None
    assert phone_server.process is not None
    phone_server.process.send_signal(signal.SIGTERM)
    phone_server.process.send_signal(signal.SIGTERM)
    phone_server.process.send_signal(signal.SIGINT)
    assert phone_server.process.wait(20) == 0
    assert not asterisk.is_alive


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_terminal_that_ends_it_stops_it_well_and_leaves_no_asterisk(
    phone_server: OffhookServer, number: signal.Signals
) -> None:
    asterisk = asterisk_of(phone_server)
    assert asterisk is not None
    assert phone_server.process is not None
    phone_server.process.send_signal(number)
    assert phone_server.process.wait(20) == 0
    assert "node.stopping" in phone_server.log.read_text()
    assert not asterisk.is_alive


def test_a_terminal_that_is_closed_ends_it_well_although_nothing_can_be_printed_any_more(
    server: OffhookServer,
) -> None:
    assert server.stop() == 0
    ours, theirs = pty.openpty()
    # A session of its own, whose terminal this is: the system tells it when that is gone (setsid(1), --ctty).
    server.process = subprocess.Popen(
        [
            *(*HEARING_HANGUPS, "setsid", "--ctty", str(OFFHOOK), "serve", "--data", str(server.data)),
            "--port",
            str(server.port),
            *server.options,
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(),
    )
    os.close(theirs)
    server.wait_until_ready()
    os.close(ours)
    assert server.process.wait(20) == 0


def test_after_nohup_a_terminal_that_is_closed_ends_nothing(server: OffhookServer) -> None:
    assert server.stop() == 0
    server.program = [*HEARING_HANGUPS, "nohup", str(OFFHOOK)]
    server.start()
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert server.ask("GET", "/healthz")
    assert "node.stopping" not in server.log.read_text().rpartition("is ready")[2]
    assert server.stop() == 0


@pytest.mark.alone
@pytest.mark.parametrize("gap_s", [0.01, 0.03, 0.1, 0.2, 0.3])
def test_a_signal_that_comes_twice_at_a_quick_stop_ends_well(server: OffhookServer, gap_s: float) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    time.sleep(gap_s)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_a_second_signal_later_ends_all_at_once_and_leaves_no_asterisk(
    phone_server: OffhookServer, receiver: Receiver
) -> None:
    def hang(_: Received) -> int:
        time.sleep(20)
        return 200

    receiver.answer = hang  # an attempt that a polite stop would wait for
    phone_server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    phone_server.ask("POST", "/v1.0/events", {"type": "a", "data": {}})
    wait_until(lambda: receiver.received, "the attempt is under way")
    asterisk = asterisk_of(phone_server)
    assert asterisk is not None
    assert phone_server.stop_at_once() == 1
    wait_until(lambda: not asterisk.is_alive, "its Asterisk is gone", 3)


def test_a_server_is_not_ready_before_its_asterisk_is_there(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("x")
    server = OffhookServer(
        tmp_path / "data",
        *("--asterisk", f"http://127.0.0.1:{free_port()}/ari", "--asterisk-user", "offhook"),
        *("--asterisk-password-file", str(password)),
    )
    server.start(ready=False)
    try:
        wait_until(lambda: "Waiting for: the phone system" in server.log.read_text(), "it says what it waits for")
        assert "is ready" not in server.log.read_text()
        assert server.request("GET", "/healthz")[0] == 200
        status, answer = server.request("GET", "/readyz")
        assert (status, answer["error"]["details"]) == (503, [{"missing": ["the phone system"]}])
        # It is no reason to take nothing else either.
        server.ask("POST", "/v1.0/events", {"type": "a", "data": {}})
        assert server.stop() == 0
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


def test_a_phone_system_that_is_lost_later_does_not_take_the_api_away(tmp_path: Path, own: SharedAsterisk) -> None:
    password = tmp_path / "password"
    password.write_text(own.endpoint.password)
    server = OffhookServer(
        tmp_path / "data",
        *("--asterisk", own.endpoint.url, "--asterisk-user", own.endpoint.user),
        *("--asterisk-password-file", str(password)),
    )
    server.start()
    try:
        assert server.ask("GET", "/readyz?switch") == {"status": "ok", "switch": "up"}
        wait_until(lambda: "is ready" in server.log.read_text(), "it says that it is ready")
        process = ProcessId.of(json.loads((own.folder / "running.json").read_text())["process"]["pid"])
        assert process is not None
        process.send(signal.SIGKILL)
        wait_until(lambda: server.ask("GET", "/readyz")["switch"] == "down", "it is told to be down")
        assert server.request("GET", "/readyz?switch")[0] == 503
    finally:
        server.kill()


def test_full_collections_do_not_stop_the_node_under_load(server: OffhookServer) -> None:
    def collections() -> dict[str, int]:
        text = server.ask("GET", "/metrics")
        found = re.findall(r'python_gc_collections_total\{generation="(\d)"\} ([\d.]+)', text)
        return {generation: int(float(count)) for generation, count in found}

    before = collections()
    for _ in range(30):
        server.ask("POST", "/v1.0/events", [{"type": "a", "data": {"n": n}} for n in range(100)])
    after = collections()
    assert after["2"] == before["2"]
    assert after["0"] - before["0"] <= 3
