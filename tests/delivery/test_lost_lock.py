"""What another node did while this one had lost PostgreSQL stands, whatever this one's attempts under way find."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psycopg
from structlog.testing import capture_logs

from offhook.store.commit.committed import Committed
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until
from tests.postgres import Postgres

AS_ANOTHER_NODE = """
UPDATE deliveries SET status = 1, attempt_count = 1, last_outcome = 'succeeded', last_status_code = 204, tm_done = 5
    WHERE key = {first};
INSERT INTO attempts (delivery_key, number, outcome, status_code, started_at, latency_ms, response)
    VALUES ({second}, 1, 'server_error', 503, 5, 1, '');
UPDATE deliveries SET attempt_count = 1, last_outcome = 'server_error', last_status_code = 503, first_failed_at = 5
    WHERE key = {second};
SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database =
    (SELECT oid FROM pg_database WHERE datname = current_database());
"""


async def test_attempts_under_way_when_the_lock_was_lost_undo_nothing_and_block_nothing(
    tmp_path: Path, endpoint: Endpoint, postgres: Postgres
) -> None:
    url = postgres.migrated_database()
    node = Node(tmp_path, database_url=url)
    await node.start()
    gate = asyncio.Event()

    async def answer(request: Request) -> int:
        await gate.wait()
        return 200 if request.attempt > 1 else 500

    endpoint.answer = answer
    customer = await node.new_customer(endpoint.uri)
    ids = await node.publish(customer, ["call/a", "call/b"])
    await until(lambda: len(endpoint.requests) == 2, "both attempts")
    with psycopg.connect(url) as another:
        keys = [row[0] for row in another.execute("SELECT key FROM deliveries ORDER BY key").fetchall()]
        another.execute(AS_ANOTHER_NODE.format(first=keys[0], second=keys[1]))
    await until(lambda: node.store.is_away, "it notices")
    await until(lambda: not node.store.is_away, "it is back")
    gate.set()
    ids += await node.publish(customer, ["call/a", "call/b"])
    await node.until_written()
    by_id = {row.event_id: row for row in await node.deliveries(customer)}
    assert (by_id[ids[0]].status, by_id[ids[0]].last_status_code) == ("succeeded", 204)
    assert [attempt.status_code for attempt in await node.attempts(customer, ids[1])] == [503, 200]
    assert [request.id for request in endpoint.requests].count(ids[0]) == 1
    await node.stop()


async def test_nothing_is_begun_while_the_database_is_away_and_then_everything_is(
    tmp_path: Path, endpoint: Endpoint, postgres: Postgres
) -> None:
    node = Node(tmp_path, database_url=postgres.migrated_database())
    await node.start()
    customer = await node.new_customer(endpoint.uri)

    async def answer(request: Request) -> int:
        await asyncio.sleep(0.1)
        return 200

    endpoint.answer = answer
    await node.publish(customer, [f"call/{number}" for number in range(600)])
    await until(lambda: len(endpoint.requests) > 40, "attempts are made")
    postgres.stop()
    try:
        await until(lambda: node.store.is_away and node.engine.queue_lengths()[1] == 0, "nothing is under way")
        assert len(endpoint.requests) < 600
        idle_s = time.monotonic()
        await asyncio.sleep(0.5)  # in which nothing is to happen
    finally:
        here_s = time.monotonic()
        postgres.start()
    await until(lambda: not node.store.is_away, "it is back")
    await node.until_written()
    assert len({request.id for request in endpoint.accepted}) == 600
    assert not any(idle_s < request.at_s < here_s for request in endpoint.requests)
    await node.stop()


async def test_a_doubt_while_the_database_is_away_is_no_fault_and_is_looked_into_once_it_is_back(
    tmp_path: Path, endpoint: Endpoint, postgres: Postgres
) -> None:
    node = Node(tmp_path, database_url=postgres.migrated_database())
    await node.start()
    customer = await node.new_customer(endpoint.uri)
    postgres.stop()
    with capture_logs() as logs:
        try:
            await until(lambda: node.store.is_away, "it notices")
            node.store.ended((), Committed(everything=True))  # as of a commit that nobody knows the end of
            await until(lambda: "delivery.sweep_postponed" in {line["event"] for line in logs}, "it would look")
        finally:
            postgres.start()
        await until(lambda: not node.store.is_away, "it is back")
        await node.publish(customer, ["call/a"])
        await until(lambda: endpoint.accepted, "it delivers")
        await node.stop()
    assert [line for line in logs if "exc_info" in line] == []
