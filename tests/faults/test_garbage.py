"""Full garbage collections hold the event loop up: a running node does none, whatever is published."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

from tests.acceptance.server import OffhookServer, wait_until

_TELLING = """
import gc, json, signal
def tell(*_):
    with open({path!r}, "w") as file:
        file.write(json.dumps([gc.get_freeze_count(), gc.get_threshold()]))
signal.signal(signal.SIGUSR2, tell)
from offhook.cli import main
main()
"""
_COLLECTIONS = re.compile(r'^python_gc_collections_total\{generation="(\d)"\} (\S+)', re.MULTILINE)


def collections(server: OffhookServer) -> dict[str, float]:
    """How many there were, by generation."""
    _, text = server.request("GET", "/metrics")
    return {generation: float(count) for generation, count in _COLLECTIONS.findall(str(text))}


def test_the_collector_is_frozen_and_no_full_collection_runs_under_load(tmp_path: Path) -> None:
    told = tmp_path / "told"
    server = OffhookServer(tmp_path / "data", "--no-switch", OFFHOOK_LIMITS__ADDRESS_PER_SECOND="0")
    server.program = [sys.executable, "-c", _TELLING.format(path=str(told))]
    server.start()
    try:
        assert server.process is not None
        server.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: told.exists() and told.read_text(), "it tells")
        frozen, thresholds = json.loads(told.read_text())
        assert frozen > 50_000
        assert thresholds == [50_000, 20, 1_000]
        before = collections(server)
        events = [{"type": "order_paid", "data": {"number": number, "of": [[], {}]}} for number in range(500)]
        for _ in range(60):
            assert server.request("POST", "/v1.0/events", events)[0] == 202
        assert before["2"] > 0
        assert collections(server)["2"] == before["2"]
        assert server.stop() == 0
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
