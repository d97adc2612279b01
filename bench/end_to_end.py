"""The whole way: published over HTTP, committed, sent, signed, recorded; receiver and load on the same machine.

    python bench/end_to_end.py [--seconds 10] [--backlog 1000000] [--crowd 10000] [--database postgresql://…] [--json]

Starts `offhook serve --no-switch` in a folder of its own, a receiver and a publisher as processes of their own, prints
events per second (one by one, and in batches of 100), the time from the 202 to the receiver's first byte at half that
rate, CPU per event, peak memory; the first events of ten thousand customers, alone and beside a customer who publishes
all the time; and the first figures again with a backlog of undelivered events present. A share of 0 leaves out its run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from crowd import Crowd, measure_crowd
from load import DATA, EVENTS_PER_SUBJECT, Plan

from node import LoadProcess, ReceiverProcess, Server, free_port, show, wait_for


class Bench:
    """The measurements, on one running server."""

    def __init__(self, folder: Path, server: Server, receiver: ReceiverProcess) -> None:
        self.folder, self.server, self.receiver = folder, server, receiver

    def rate(self, batch: int, seconds: float) -> dict[str, float]:
        """Published as fast as it goes; delivered is what arrived until the last one had."""
        before, cpu, start = self.receiver.count("warm"), self.server.cpu_s(), time.monotonic()
        accepted = self._load(batch, seconds, 0)
        wait_for(lambda: self.receiver.count("warm") - before >= accepted["count"], 120)
        took = time.monotonic() - start
        return {
            "published_per_s": accepted["count"] / accepted["took"],
            "delivered_per_s": accepted["count"] / took,
            "server_cpu_us_per_event": (self.server.cpu_s() - cpu) / accepted["count"] * 1e6,
        }

    def latency(self, rate: float, seconds: float) -> dict[str, float]:
        """From the publisher's 202 to the receiver's first byte, at `rate` events a second."""
        self.receiver.ask("clear")
        before = self.receiver.count("warm")
        accepted = self._load(1, seconds, rate)
        wait_for(lambda: self.receiver.count("warm") - before >= accepted["count"], 60)
        self.receiver.ask(f"dump {self.folder / 'arrived'}")
        arrived = json.loads((self.folder / "arrived").read_text())
        gaps = sorted((arrived[key] - at) / 1e6 for key, at in accepted["accepted"].items())
        return {
            "rate_per_s": accepted["count"] / accepted["took"],
            "p50_ms": gaps[len(gaps) // 2],
            "p99_ms": gaps[int(len(gaps) * 0.99)],
        }

    def _load(self, batch: int, seconds: float, rate: float) -> dict[str, Any]:
        out = str(self.folder / "load")
        connections = 64 if batch == 1 or rate else 4
        return LoadProcess(Plan(self.server.port, str(self.token), out, batch, seconds, rate, connections)).result()

    @property
    def token(self) -> Path:
        """A file with the customer's access key."""
        path = self.folder / "token"
        path.write_text(self.server.access_key)
        return path


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, receiver = Server(folder, arguments.database), ReceiverProcess()
        crowd = Crowd(folder, server, receiver, arguments.crowd) if arguments.crowd else None
        server.start()
        try:
            return _measure(Bench(folder, server, receiver), crowd, arguments)
        finally:
            receiver.stop()
            server.stop()


def _measure(bench: Bench, crowd: Crowd | None, arguments: argparse.Namespace) -> dict[str, Any]:
    _point(bench.server, bench.receiver.port)
    results: dict[str, Any] = {"empty": _figures(bench, arguments.seconds)}
    if crowd:
        crowd.greet()
        one, many = (results["empty"][name]["delivered_per_s"] for name in ("one_by_one", "batches_of_100"))
        results["crowd"] = measure_crowd(crowd, bench.token, one, many)
    if arguments.backlog:
        results["backlog"] = _pile_up(bench, arguments.backlog)
        results["with_backlog"] = _figures(bench, arguments.seconds)
    results["peak_memory_mib"] = bench.server.peak_mib()
    return results


def _figures(bench: Bench, seconds: float) -> dict[str, Any]:
    one = bench.rate(1, seconds)
    show("one by one", one)
    many = bench.rate(100, seconds)
    show("batches of 100", many)
    late = bench.latency(one["delivered_per_s"] / 2, seconds)
    show("at half the rate", late)
    return {"one_by_one": one, "batches_of_100": many, "half_rate": late}


def _pile_up(bench: Bench, count: int) -> dict[str, float]:
    """Another customer's dead endpoint collects undelivered events; ours goes on beside it."""
    ours = bench.server.token
    made = bench.server.call(
        "POST", "/v1.0/customers", {"name": "backlog", "username": "backlog@localhost", "password": "backlog-password"}
    )
    if made is None:
        raise SystemExit("the server did not make a second customer")
    theirs = made["id"]
    dead = free_port()
    bench.server.call(
        "PUT", f"/v1.0/customers/{theirs}", {"webhook_uri": f"http://127.0.0.1:{dead}/", "webhook_method": "POST"}
    )
    start, cpu = time.monotonic(), bench.server.cpu_s()
    for first in range(0, count, 1000):
        events = [
            {"type": "bench_event", "subject": f"backlog/{(first + number) // EVENTS_PER_SUBJECT}", "data": DATA}
            for number in range(1000)
        ]
        if bench.server.call("POST", f"/v1.0/events?customer_id={theirs}", events) is None:
            raise SystemExit("the server refused the backlog")
        if first % 100_000 == 0:
            print(f"  backlog: {first:,} of {count:,}", file=sys.stderr)
    took = time.monotonic() - start
    bench.server.token = ours
    figures = {
        "events": count,
        "accepted_per_s": count / took,
        "server_cpu_us_per_event": (bench.server.cpu_s() - cpu) / count * 1e6,
        "peak_memory_mib": bench.server.peak_mib(),
    }
    show("backlog", figures)
    return figures


def _point(server: Server, receiver_port: int) -> None:
    uri = f"http://127.0.0.1:{receiver_port}/warm"
    if server.call("PUT", "/v1.0/customer", {"webhook_uri": uri, "webhook_method": "POST"}) is None:
        raise SystemExit("the server refused the receiver's uri")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--crowd", type=int, default=10_000)
    parser.add_argument("--database")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = measure(arguments)
    memory = f"peak memory of the server: {results['peak_memory_mib']:,.0f} MiB"
    print(json.dumps(results, indent=2) if arguments.json else memory)


if __name__ == "__main__":
    main()
