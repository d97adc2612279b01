"""A part of the node that fails is run again, or the node ends with exit code 1: it never goes on without it unseen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer, wait_until
from tests.ports import free_port

_FAULT = """
from offhook.cli import main
{fault}
main()
"""

_WRITER = """
from offhook.store.commit.group import GroupCommit
def fail(self, group):
    if len(open({trigger!r}).read()):
        raise SystemExit
    whole(self, group)
whole, GroupCommit.commit = GroupCommit.commit, fail
"""

_PUBLISHING = """
from offhook.store.commit.group import GroupCommit
def fail(self, group):
    if any("publish" in getattr(getattr(change, "run", None), "__qualname__", "") for change in group):
        raise SystemExit
    whole(self, group)
whole, GroupCommit.commit = GroupCommit.commit, fail
"""

_RECORDER = """
from offhook.delivery.recorder import Recorder
async def fail(self):
    raise RuntimeError("injected")
Recorder._flush = fail
"""

_BACKLOG = """
from offhook.delivery.backlog import BacklogReader
async def fail(self):
    raise RuntimeError("injected")
BacklogReader.run = fail
"""

_WEB = """
import offhook.web.server as web, os
async def fail(self):
    while not len(open({trigger!r}).read()):
        await web.asyncio.sleep(0.01)
    raise RuntimeError("injected")
web._Uvicorn.main_loop = fail
"""

_RETENTION = """
from offhook.delivery.retention import Retention
async def fail(self):
    if len(open({trigger!r}).read()):
        return await whole(self)
    raise RuntimeError("injected")
whole, Retention.prune = Retention.prune, fail
"""

_FIRST = """
import os
from offhook.store.store import Store
async def fail(self, change):
    made = await whole(self, change)
    if "create_first_customer" in change.__qualname__:
        os.kill(os.getpid(), 9)
    return made
whole, Store.write = Store.write, fail
"""

_SWITCH = """
from offhook.switch.asterisk.switch import AsteriskSwitch
async def fail(self):
    AsteriskSwitch.run = whole
    raise RuntimeError("injected")
whole, AsteriskSwitch.run = AsteriskSwitch.run, fail
"""


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Callable[..., OffhookServer]]:
    """A server with a fault in it. What a fault waits for is written to `trigger`."""
    made: list[OffhookServer] = []

    def make(fault: str, *options: str) -> OffhookServer:
        (tmp_path / "trigger").write_text("")
        server = OffhookServer(tmp_path / "data", *(options or ("--no-switch",)))
        text = _FAULT.format(fault=fault.format(trigger=str(tmp_path / "trigger")))
        server.program = [sys.executable, "-c", text]
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.kill()


def ended(server: OffhookServer, part: str) -> None:
    """The node ended by itself, with exit code 1, and said which part failed."""
    assert server.process is not None
    assert server.process.wait(20) == 1
    log = server.log.read_text()
    assert "service_failed" in log
    assert part in log
    assert log.splitlines()[-1].startswith("offhook: ")


def test_a_node_whose_writer_died_does_not_accept_for_ever(
    faulty: Callable[..., OffhookServer], tmp_path: Path
) -> None:
    server = faulty(_WRITER)
    server.start()
    (tmp_path / "trigger").write_text("now")
    assert server.request("POST", "/v1.0/events", {"type": "a", "data": {}})[0] == 503
    ended(server, "store writer")


def test_whoever_waits_when_the_writer_dies_is_told_that_the_end_is_not_known(
    faulty: Callable[..., OffhookServer],
) -> None:
    server = faulty(_PUBLISHING)
    server.start()
    status, answer = server.request("POST", "/v1.0/events", {"type": "a", "data": {}})
    assert (status, answer["error"]["status"], answer["error"]["reason"]) == (503, "UNAVAILABLE", "OUTCOME_UNKNOWN")
    ended(server, "store writer")


def test_a_node_that_cannot_record_attempts_ends(faulty: Callable[..., OffhookServer], receiver: Receiver) -> None:
    server = faulty(_RECORDER)
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    server.ask("POST", "/v1.0/events", {"type": "a", "data": {}})
    ended(server, "delivery recorder")
    # And nothing is lost by it.
    server.program = [sys.executable, "-c", _FAULT.format(fault="")]
    server.start()
    wait_until(lambda: server.ask("GET", "/v1.0/deliveries?status=succeeded")["result"], "it is delivered after all")


def test_a_node_that_cannot_read_its_backlog_ends(faulty: Callable[..., OffhookServer]) -> None:
    server = faulty(_BACKLOG)
    server.start(ready=False)
    ended(server, "delivery engine")


def test_a_node_whose_web_server_died_ends(faulty: Callable[..., OffhookServer], tmp_path: Path) -> None:
    server = faulty(_WEB)
    server.start()
    (tmp_path / "trigger").write_text("now")
    ended(server, "web server")


def test_retention_that_failed_is_named_and_comes_back(faulty: Callable[..., OffhookServer], tmp_path: Path) -> None:
    server = faulty(_RETENTION)
    server.start(ready=False)

    def says_missing() -> bool:
        status, answer = server.request("GET", "/readyz")
        return status == 503 and "retention" in str(answer["error"]["details"])

    wait_until(says_missing, "retention is named")
    wait_until(lambda: "Waiting for: retention" in server.log.read_text(), "what it waits for is printed")
    assert "is ready" not in server.log.read_text()
    (tmp_path / "trigger").write_text("now")
    server.wait_until_ready()
    wait_until(lambda: "is ready" in server.log.read_text(), "that it is ready is printed")
    assert "node.service_restarts" in server.log.read_text()


def test_the_first_credentials_are_kept_although_the_start_is_killed(
    faulty: Callable[..., OffhookServer], tmp_path: Path
) -> None:
    server = faulty(_FIRST)
    server.data = tmp_path / "fresh"
    server.start(ready=False)
    assert server.process is not None
    assert server.process.wait(20) == -9
    server.program = [sys.executable, "-c", _FAULT.format(fault="")]
    server.token = json.loads((server.data / "profile.json").read_text())["access_key"]
    server.start()
    server.ask("GET", "/v1.0/customer")
    assert "password" in (server.data / "first-credentials.txt").read_text()


def test_a_switch_connection_that_failed_comes_back(faulty: Callable[..., OffhookServer], tmp_path: Path) -> None:
    server = faulty(_SWITCH, "--sip", f"127.0.0.1:{free_port()}")
    server.start()
    assert server.ask("GET", "/readyz")["switch"] == "up"
    assert server.stop() == 0
