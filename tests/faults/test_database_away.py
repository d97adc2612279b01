"""PostgreSQL that goes away, by itself or behind a dead wire, and a second node that wants it: nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OFFHOOK, OffhookServer, clean_environment, offhook, wait_until
from tests.faults.test_kill import FAST_RETRIES, Publisher, check_ledger
from tests.faults.wire import AnswerLosingWire, Wire
from tests.ports import free_port
from tests.postgres import Postgres

EVENT = {"type": "ledger_entry", "subject": "ledger/one", "data": {}}
IMPATIENT = {"OFFHOOK_DATABASE__ANSWER_TIME": "2s", "OFFHOOK_DELIVERY__DRAIN_TIME": "1s"}
LOCK = 0x0FF4008
# What a session that holds the lock is, and what it is not: one that only reads.
WRITERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s"


@contextmanager
def a_server(data: Path, url: str, receiver: Receiver | None = None, /, **environment: str) -> Iterator[OffhookServer]:
    """A node on PostgreSQL, with its first customer's webhook set."""
    server = OffhookServer(data, "--no-switch", "--database", url, **FAST_RETRIES, **environment)
    server.start()
    try:
        if receiver is not None:
            server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.send_signal(signal.SIGCONT)
            server.kill()


@contextmanager
def publishers(server: OffhookServer, count: int = 4) -> Iterator[list[Publisher]]:
    """Publishing all the time; joined at the end of the block."""
    threads = [Publisher(server, f"p{number}", random.Random(number)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join(30)


def accepted_by(threads: list[Publisher]) -> dict[str, list[str]]:
    return {subject: ids for thread in threads for subject, ids in thread.accepted.items()}


def total(threads: list[Publisher]) -> int:
    return sum(len(ids) for ids in accepted_by(threads).values())


def writer_of(operator: psycopg.Connection) -> int:
    """The session that holds the lock; waits until there is one."""
    pid: int
    (pid,) = wait_until(lambda: operator.execute(WRITERS, [LOCK]).fetchone(), "the lock is held")
    return pid


def wait_until_more_is_accepted(threads: list[Publisher]) -> None:
    before = total(threads)
    wait_until(lambda: total(threads) > before + 20, "events are accepted")


def wait_until_delivered(server: OffhookServer) -> None:
    def nothing_waits() -> bool:
        status, stats = server.request("GET", "/v1.0/webhook_stats")
        return status == 200 and (stats["pending"], stats["held"]) == (0, 0)

    wait_until(nothing_waits, "everything is delivered", 60)


def exit_code(server: OffhookServer, patience_s: float) -> int:
    assert server.process is not None
    return server.process.wait(patience_s)


def timed(server: OffhookServer, method: str, path: str, body: object = None) -> tuple[int, float]:
    began = time.monotonic()
    status, _ = server.request(method, path, body)
    return status, time.monotonic() - began


def test_a_session_that_is_ended_costs_no_event_and_the_server_goes_on(
    tmp_path: Path, receiver: Receiver, postgres: Postgres, rounds: int
) -> None:
    url = postgres.new_database()
    with a_server(tmp_path / "data", url, receiver) as server:
        with publishers(server) as threads, psycopg.connect(url, autocommit=True) as operator:
            for _ in range(rounds):
                wait_until_more_is_accepted(threads)
                operator.execute("SELECT pg_terminate_backend(%s)", [writer_of(operator)])
        wait_until_delivered(server)
        check_ledger(accepted_by(threads), receiver.snapshot())
        assert "store.lost" in server.log.read_text()
        assert server.stop() == 0


def test_when_another_has_the_lock_the_server_ends_and_commits_nothing_any_more(
    tmp_path: Path, receiver: Receiver, postgres: Postgres
) -> None:
    url = postgres.new_database()
    with (
        a_server(tmp_path / "data", url, receiver) as server,
        publishers(server) as threads,
        psycopg.connect(url, autocommit=True) as operator,
        psycopg.connect(url, autocommit=True, application_name="another") as another,
    ):
        wait_until(lambda: total(threads) > 50, "events are accepted")
        pid = writer_of(operator)
        # Whoever waits for the lock has it the moment it is free.
        waiting = another.pgconn
        waiting.send_query(f"SELECT pg_advisory_lock({LOCK})".encode())
        wait_until(
            lambda: operator.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone(),
            "another one waits",
        )
        operator.execute("SELECT pg_terminate_backend(%s)", [pid])
        while waiting.get_result() is not None:
            pass
        count = operator.execute("SELECT count(*) FROM events").fetchone()
        state = operator.execute("SELECT key, status, attempt_count FROM deliveries ORDER BY key").fetchall()
        assert exit_code(server, 30) == 1
        assert operator.execute("SELECT count(*) FROM events").fetchone() == count
        assert operator.execute("SELECT key, status, attempt_count FROM deliveries ORDER BY key").fetchall() == state, (
            "something was written without the lock"
        )
        there = {row[0] for row in operator.execute("SELECT id FROM events").fetchall()}
    assert {event_id for ids in accepted_by(threads).values() for event_id in ids} <= there
    output = server.log.read_text()
    assert "Another Offhook has taken this database over" in output
    assert "Traceback" not in output


def test_a_server_that_stood_still_is_replaced_by_another_and_ends_when_it_wakes(
    tmp_path: Path, receiver: Receiver, postgres: Postgres
) -> None:
    url = postgres.new_database()
    with a_server(tmp_path / "one", url, receiver, **IMPATIENT) as first:
        with publishers(first) as threads:
            wait_until(lambda: total(threads) > 50, "events are accepted")
            assert first.process is not None
            first.process.send_signal(signal.SIGSTOP)
            second = OffhookServer.__new__(OffhookServer)
            second.__dict__.update(first.__dict__, data=tmp_path / "two", port=free_port(), log=tmp_path / "two.log")

            def takes_over() -> bool:
                second.start(ready=False)
                assert second.process is not None
                process = second.process
                wait_until(
                    lambda: process.poll() is not None or second.request("GET", "/readyz")[0] == 200,
                    "it is ready or refuses",
                )
                return process.poll() is None

            wait_until(takes_over, "PostgreSQL has let go of a server that stands still", 30)
            first.process.send_signal(signal.SIGCONT)
            assert exit_code(first, 15) == 1
        try:
            accepted = second.ask("POST", "/v1.0/events", EVENT)["ids"]
            wait_until_delivered(second)
            check_ledger({**accepted_by(threads), "ledger/one": accepted}, receiver.snapshot())
        finally:
            second.kill()
    assert "Another Offhook has taken this database over" in first.log.read_text()


def test_two_servers_started_at_once_on_one_database_one_refuses(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database()
    made = offhook("init", "--data", str(tmp_path / "zero"), "--database", url)
    assert made.returncode == 0
    options = ("--no-switch", "--database", url)
    nodes = [
        subprocess.Popen(
            [str(OFFHOOK), "serve", "--data", str(tmp_path / name), "--port", str(free_port()), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
        )
        for name in ("one", "two")
    ]
    try:
        wait_until(lambda: any(node.poll() is not None for node in nodes), "one of them refuses")
        (refused,) = [node for node in nodes if node.poll() is not None]
        assert refused.returncode == 1
        assert refused.stdout is not None
        lines = refused.stdout.read().splitlines()
        assert lines == [
            "offhook: Another Offhook runs on this database. Stop it first, or give this one a database of its own."
        ]
    finally:
        for node in nodes:
            node.kill()
            node.wait(10)


def test_postgresql_away_for_longer_than_regain_time_ends_the_server(tmp_path: Path) -> None:
    from tests.postgres import running_postgres

    with (
        running_postgres() as server_of_its_own,
        a_server(tmp_path / "data", server_of_its_own.new_database(), OFFHOOK_DATABASE__REGAIN_TIME="2s") as server,
    ):
        server_of_its_own.stop()
        assert exit_code(server, 20) == 1
        output = server.log.read_text()
        assert "offhook: The database has been away for" in output
        assert "Traceback" not in output, output


def test_postgresql_away_for_a_moment_is_waited_for(tmp_path: Path, receiver: Receiver, postgres: Postgres) -> None:
    with a_server(tmp_path / "data", postgres.new_database(), receiver) as server:
        with publishers(server) as threads:
            wait_until(lambda: total(threads) > 50, "events are accepted")
            postgres.stop()
            try:
                wait_until(lambda: server.request("GET", "/readyz")[0] == 503, "/readyz says what is missing")
                assert "database" in server.request("GET", "/readyz")[1]["error"]["message"]
                assert server.request("POST", "/v1.0/events", EVENT)[0] == 503
                idle_s = time.monotonic()
                time.sleep(1)  # in which nothing is to happen
            finally:
                here_s = time.monotonic()
                postgres.start()
            wait_until_more_is_accepted(threads)
        wait_until_delivered(server)
        meanwhile = [one for one in receiver.snapshot() if idle_s < one.at_s < here_s]
        assert len(meanwhile) <= 1, "deliveries went on without the lock"
        check_ledger(accepted_by(threads), receiver.snapshot())
        assert "Traceback" not in server.log.read_text()
        assert server.stop() == 0


@pytest.fixture
def wire(postgres: Postgres) -> Iterator[Wire]:
    wire = Wire(postgres.port)
    yield wire
    wire.close()


def through(wire: Wire, postgres: Postgres) -> str:
    return postgres.new_database().replace(f":{postgres.port}/", f":{wire.port}/")


def test_behind_a_dead_wire_everything_is_refused_within_seconds_and_then_goes_on(
    tmp_path: Path, receiver: Receiver, postgres: Postgres, wire: Wire
) -> None:
    with a_server(tmp_path / "data", through(wire, postgres), receiver, **IMPATIENT) as server:
        server.ask("POST", "/v1.0/events", EVENT)
        wire.dead = True
        status, took_s = timed(server, "POST", "/v1.0/events", EVENT)
        assert status == 503
        assert took_s < 8
        wait_until(lambda: "store.lost" in server.log.read_text(), "the server has noticed")
        for method, path, body in (
            ("POST", "/v1.0/events", EVENT),
            ("GET", "/v1.0/events", None),
            ("GET", "/v1.0/deliveries?status=pending", None),
        ):
            status, took_s = timed(server, method, path, body)
            assert status == 503, (method, path)
            assert took_s < 2, (method, path)
        wire.dead = False
        wait_until(lambda: server.request("POST", "/v1.0/events", EVENT)[0] == 202, "it goes on by itself")
        wait_until_delivered(server)
        assert "Traceback" not in server.log.read_text()
        assert server.stop() == 0


def test_reads_alone_fail_within_seconds_behind_a_dead_wire(tmp_path: Path, postgres: Postgres, wire: Wire) -> None:
    with a_server(tmp_path / "data", through(wire, postgres), **IMPATIENT) as server:
        server.ask("GET", "/v1.0/events")
        wire.dead = True
        status, took_s = timed(server, "GET", "/v1.0/events")
        assert status == 503
        assert took_s < 8


@pytest.mark.parametrize("noticed", [False, True])
def test_a_stop_behind_a_dead_wire_ends_in_time(
    tmp_path: Path, receiver: Receiver, postgres: Postgres, wire: Wire, noticed: bool
) -> None:
    with a_server(tmp_path / "data", through(wire, postgres), receiver, **IMPATIENT) as server:
        server.ask("POST", "/v1.0/events", EVENT)
        with publishers(server):
            wire.dead = True
            if noticed:
                wait_until(lambda: "store.lost" in server.log.read_text(), "the server has noticed")
            assert server.process is not None
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            # A second of drain time, and a few more.
            server.process.wait(15)
            assert time.monotonic() - began < 14
            assert "Traceback" not in server.log.read_text()


def test_lost_answers_to_commits_double_no_event_and_lose_none(
    tmp_path: Path, receiver: Receiver, postgres: Postgres, rounds: int
) -> None:
    wire = AnswerLosingWire(postgres.port)
    url = through(wire, postgres)
    with a_server(tmp_path / "data", url, receiver) as server:
        with publishers(server) as threads:
            wire.losing = True
            wait_until(lambda: wire.lost_count >= rounds, "answers were lost", 120)
            wire.losing = False
            wait_until_more_is_accepted(threads)
        wait_until_delivered(server)
        check_ledger(accepted_by(threads), receiver.snapshot())
        with psycopg.connect(url) as connection:
            kept = {row[0] for row in connection.execute("SELECT id FROM events").fetchall()}
        accepted = {event_id for ids in accepted_by(threads).values() for event_id in ids}
        assert kept == accepted, "an event is there that nobody was told of"
        assert "Traceback" not in server.log.read_text()
        assert server.stop() == 0
    wire.close()
