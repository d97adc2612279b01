"""kill -9 at random instants: what was answered 202 is delivered, in order, and again only what a kill interrupted."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.receiver import Received, Receiver
from tests.acceptance.server import OffhookServer, offhook, wait_until

FAST_RETRIES = {"OFFHOOK_DELIVERY__RETRY_SCHEDULE": ",".join(["200ms"] * 40)}


class Publisher(threading.Thread):
    """Publishes as fast as answers come, and keeps what was answered 202, in order per subject."""

    def __init__(self, server: OffhookServer, name: str, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.chance = chance
        self.prefix = name
        self.accepted: dict[str, list[str]] = defaultdict(list)
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            subject = f"ledger/{self.prefix}-{number % 5}"
            events = [
                {"type": "ledger_entry", "subject": subject, "data": {"number": number, "part": part}}
                for part in range(self.chance.randint(1, 3))
            ]
            status, answer = self.server.request("POST", "/v1.0/events", events)
            if status == 202:
                self.accepted[subject] += answer["ids"]
            else:
                time.sleep(0.02)
            number += 1


def check_ledger(accepted: dict[str, list[str]], received: list[Received]) -> None:
    """Everything accepted arrived; what came twice is the same; first arrivals are in order per subject."""
    bodies: dict[str, bytes] = {}
    order: dict[str, list[str]] = defaultdict(list)
    sequences: dict[str, list[int]] = defaultdict(list)
    for one in received:
        if one.id in bodies:
            assert bodies[one.id] == one.body
            continue
        bodies[one.id] = one.body
        order[one.subject].append(one.id)
        sequences[one.subject].append(one.sequence)
    for subject, ids in accepted.items():
        assert set(ids) <= set(bodies), f"lost: {sorted(set(ids) - set(bodies))}"
        assert sequences[subject] == sorted(sequences[subject])
        known = set(ids)
        assert [event_id for event_id in order[subject] if event_id in known] == ids


def unrecorded(server: OffhookServer, folder: Path) -> dict[str, int]:
    """What a server that was just killed had pending: how many attempts of each event are recorded.

    Read in a copy: the next start is to find the database as the kill has left it.
    """
    folder.mkdir()
    for file in server.data.glob("offhook.db*"):
        shutil.copy(file, folder)
    with closing(sqlite3.connect(folder / "offhook.db")) as database:
        query = "SELECT e.id, d.attempt_count FROM deliveries d JOIN events e ON e.key = d.event_key WHERE d.status = 0"
        return dict(database.execute(query).fetchall())


def check_repeats(received: list[Received], kills: list[dict[str, int]]) -> None:
    """An attempt is made once, and once more for each kill that found it in flight or not yet recorded; there is a
    further one only after an answer that was no success. (How many that may be: `tests/delivery/test_recovery.py`.)
    """
    arrivals = Counter((one.id, one.attempt) for one in received)
    failed = {(one.id, one.attempt) for one in received if one.answered == 500}
    for (event_id, attempt), count in arrivals.items():
        interrupted = sum(pending.get(event_id) == attempt - 1 for pending in kills)
        assert count <= 1 + interrupted, f"attempt {attempt} of {event_id} came {count} times"
        assert attempt == 1 or (event_id, attempt - 1) in failed, f"{event_id} had succeeded already"


def test_every_event_that_was_accepted_is_delivered_however_often_the_server_is_killed(
    tmp_path: Path, receiver: Receiver, rounds: int, chance: random.Random
) -> None:
    # Each thread has its own, so that none takes another's turn.
    answering, *publishing = (random.Random(chance.random()) for _ in range(5))
    receiver.answer = lambda received: 500 if answering.random() < 0.03 else 200
    server = OffhookServer(tmp_path / "data", "--no-switch", **FAST_RETRIES)
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    publishers = [Publisher(server, f"p{number}", own) for number, own in enumerate(publishing)]
    for publisher in publishers:
        publisher.start()
    kills: list[dict[str, int]] = []

    def accepted_count() -> int:
        return sum(len(ids) for publisher in publishers for ids in list(publisher.accepted.values()))

    def wait_for_more() -> None:
        wanted = accepted_count() + 50
        wait_until(lambda: accepted_count() >= wanted, "events are accepted")

    for _ in range(rounds):
        wait_for_more()
        time.sleep(chance.uniform(0, 0.5))
        server.kill()
        kills.append(unrecorded(server, tmp_path / f"killed{len(kills)}"))
        server.start()
    time.sleep(0.3)
    for publisher in publishers:
        publisher.stopping.set()
        publisher.join(30)
    accepted = {subject: ids for publisher in publishers for subject, ids in publisher.accepted.items()}

    def nothing_waits() -> bool:
        stats = server.ask("GET", "/v1.0/webhook_stats")
        return (stats["pending"], stats["held"]) == (0, 0)

    wait_until(nothing_waits, "everything is delivered", 60)
    check_ledger(accepted, receiver.snapshot())
    check_repeats(receiver.snapshot(), kills)
    server.kill()


def test_a_stop_lets_attempts_finish_and_counts_no_interrupted_one(tmp_path: Path, receiver: Receiver) -> None:
    let_go = threading.Event()

    def answer(received: Received) -> int:
        let_go.wait(20)
        return 200

    receiver.answer = answer
    server = OffhookServer(
        tmp_path / "data", "--no-switch", OFFHOOK_DELIVERY__TIMEOUT="30s", OFFHOOK_DELIVERY__DRAIN_TIME="1s"
    )
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    (event_id,) = server.ask("POST", "/v1.0/events", {"type": "slow", "subject": "slow/1", "data": {}})["ids"]
    wait_until(receiver.snapshot, "the attempt has begun")
    assert server.stop() == 0
    let_go.set()
    server.start()
    wait_until(lambda: len(receiver.snapshot()) == 2, "it is sent again")
    first, second = receiver.snapshot()
    assert (first.id, second.id) == (event_id, event_id)
    assert second.headers["offhook-attempt"] == "1"
    wait_until(
        lambda: server.ask("GET", f"/v1.0/events/{event_id}")["deliveries"][0]["status"] == "succeeded", "recorded"
    )
    attempts = server.ask("GET", f"/v1.0/events/{event_id}/attempts")["result"]
    assert [attempt["outcome"] for attempt in attempts] == ["succeeded"]
    server.kill()


def test_a_second_signal_stops_at_once(tmp_path: Path, receiver: Receiver) -> None:
    let_go = threading.Event()

    def answer(received: Received) -> int:
        let_go.wait(30)
        return 200

    receiver.answer = answer
    server = OffhookServer(
        tmp_path / "data", "--no-switch", OFFHOOK_DELIVERY__TIMEOUT="60s", OFFHOOK_DELIVERY__DRAIN_TIME="5m"
    )
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    (event_id,) = server.ask("POST", "/v1.0/events", {"type": "slow", "data": {}})["ids"]
    wait_until(receiver.snapshot, "the attempt has begun")
    assert server.stop_at_once() == 1
    let_go.set()
    server.start()
    wait_until(lambda: len(receiver.snapshot()) == 2, "it is sent again")
    assert {received.id for received in receiver.snapshot()} == {event_id}
    server.kill()


def test_a_second_start_on_a_live_folder_refuses(tmp_path: Path) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch")
    server.start()
    second = offhook("serve", "--data", str(server.data), "--no-switch", "--port", "1", check=False)
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert server.ask("GET", "/v1.0/customer")["status"] == "active"
    server.kill()


@pytest.mark.parametrize("option", ["--port"])
def test_a_port_in_use_is_named(tmp_path: Path, receiver: Receiver, option: str) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch")
    refused = offhook("serve", "--data", str(server.data), "--no-switch", option, str(receiver.port), check=False)
    assert refused.returncode == 1
    assert f"127.0.0.1:{receiver.port}" in refused.stderr
