"""What is told of a webhook's state, over HTTP: as soon as it is so, and the same after kill -9."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer, wait_until
from tests.ports import free_port

# Tried again after a minute, so that nothing happens in between unless a test wants it to.
SLOW_RETRIES = {"OFFHOOK_DELIVERY__RETRY_SCHEDULE": ",".join(["60s"] * 20)}
EVENT = {"type": "order_paid", "subject": "order/1", "data": {"n": 1}}


def stats(server: OffhookServer, query: str = "") -> Any:
    return server.ask("GET", f"/v1.0/webhook_stats{query}")


def until_state(server: OffhookServer, state: str) -> Any:
    wait_until(lambda: stats(server)["state"] == state, f"it is {state}")
    return stats(server)


def test_a_webhook_goes_through_its_states_and_keeps_them_when_the_server_is_killed(
    tmp_path: Path, receiver: Receiver
) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch", **SLOW_RETRIES)
    server.start()
    try:
        assert stats(server)["state"] == "not_set"
        server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
        idle = stats(server)
        assert (idle["state"], idle["success_rate"], idle["latency_p50_ms"]) == ("idle", None, None)
        server.ask("POST", "/v1.0/events", EVENT)
        wait_until(lambda: stats(server)["succeeded"] == 1, "it is delivered")
        good = stats(server)
        assert (good["state"], good["success_rate"], good["events"], good["pending"]) == ("answering", 1.0, 1, 0)
        assert 0 < good["first_try_latency_p50_ms"] == good["latency_p99_ms"] < 5_000

        receiver.answer = lambda received: 404
        began_s = time.monotonic()
        server.ask("POST", "/v1.0/events", EVENT)
        wait_until(lambda: stats(server)["failed_attempts"] == 1, "it fails")
        failing = until_state(server, "failing")
        assert time.monotonic() - began_s < 20
        assert (failing["reason"], failing["last_status_code"]) == ("client_error", 404)
        # Nothing is given up yet, and yet it is not all well.
        assert (failing["exhausted"], failing["success_rate"]) == (0, 0.5)
        assert [(row["outcome"], row["status_code"], row["count"]) for row in failing["failures"]] == [
            ("client_error", 404, 1)
        ]
        server.kill()
        server.start()
        again = stats(server)
        told = ("state", "since", "reason", "last_status_code", "events", "succeeded", "failed_attempts", "pending")
        assert {name: again[name] for name in told} == {name: failing[name] for name in told}

        receiver.answer = lambda received: 410
        server.ask("POST", "/v1.0/events", {**EVENT, "subject": "order/2"})
        held = until_state(server, "held")
        assert (held["reason"], held["pending"], held["held"]) == ("gone", 0, 2)
        server.kill()
        server.start()
        again = stats(server)
        assert (again["state"], again["since"], again["reason"]) == ("held", held["since"], "gone")
        assert again["held"] == 2

        receiver.answer = lambda received: 200
        server.ask("POST", "/v1.0/customer/webhook_enable")
        wait_until(lambda: stats(server)["pending"] == 0, "all is delivered")
        well = until_state(server, "answering")
        assert datetime.fromisoformat(well["since"]) >= datetime.fromisoformat(held["since"])
        assert (well["delivered_first_try"], well["delivered_later"], well["failed_attempts"]) == (1, 2, 2)
        assert well["last_hour"]["success_rate"] == well["last_day"]["success_rate"] == 0.6
    finally:
        server.kill()


def test_a_dead_receiver_shows_at_once_and_is_probed(tmp_path: Path) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch", **SLOW_RETRIES)
    server.start()
    try:
        uri = f"http://127.0.0.1:{free_port()}/hook"
        server.ask("PUT", "/v1.0/customer", {"webhook_uri": uri, "webhook_method": "POST"})
        server.ask("POST", "/v1.0/events", [{**EVENT, "subject": f"order/{number}"} for number in range(60)])
        until_state(server, "probing")
        # The state is told at once, the counters are of the commit a moment later.
        wait_until(lambda: stats(server)["failed_attempts"] >= 10, "they are counted")
        probed = stats(server)
        assert (probed["reason"], probed["success_rate"], probed["pending"]) == ("refused", 0.0, 60)
        assert "nothing listens" in probed["last_detail"]
        wait_until(lambda: stats(server)["next_probe"] is not None, "the next probe is told")
        said = server.command("customer", "stats").stdout
        assert "Your webhook has failed for" in said
        assert "one event at a time" in said
        assert "Waiting: 60, held: 0" in said
        assert "× refused" in said
    finally:
        server.kill()


def test_a_time_is_at_most_thirty_five_days(tmp_path: Path) -> None:
    server = OffhookServer(tmp_path / "data", "--no-switch")
    server.start()
    try:
        begins = datetime.fromisoformat(stats(server, "?seconds=90")["tm_from"])
        assert begins.second == begins.microsecond == 0
        begins = datetime.fromisoformat(stats(server, f"?seconds={35 * 86_400}")["tm_from"])
        assert begins.minute == begins.second == begins.microsecond == 0
        assert server.request("GET", f"/v1.0/webhook_stats?seconds={35 * 86_400 + 1}")[0] == 400
    finally:
        server.kill()
