"""Versions of Offhook in turn: what a change costs, on a machine that is never quite quiet.

    python bench/versus.py BEFORE AFTER... [--turns 20] [--seconds 1] [--batch 1 100]

Each is a folder with a checkout. All servers run all the time, and each turn loads one after the other for a second, so
that whatever else the machine does hits all alike; which is first changes from turn to turn. Prints the ratio to BEFORE
of events delivered per second and of the server's CPU per event: the median, the mean, and what the mean may be off by
(its standard error).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from end_to_end import Bench

from node import ReceiverProcess, Server

_WARMING_S = 2.0


class Version:
    """One checkout's server, with a receiver of its own."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        folder.mkdir()
        self.name = checkout.name
        os.environ["PYTHONPATH"] = str(checkout.resolve() / "src")
        self.receiver = ReceiverProcess()
        self.server = Server(folder, None)
        self.server.start()
        uri = f"http://127.0.0.1:{self.receiver.port}/warm"
        self.server.call("PUT", "/v1.0/customer", {"webhook_uri": uri, "webhook_method": "POST"})
        self.bench = Bench(folder, self.server, self.receiver)

    def stop(self) -> None:
        """End both."""
        self.receiver.stop()
        self.server.stop()


def compare(versions: Sequence[Version], batch: int, turns: int, seconds: float) -> None:
    """Load them in turn, and print a line for each figure of each but the first."""
    for version in versions:
        version.bench.rate(batch, _WARMING_S)
    found: dict[str, list[dict[str, float]]] = {version.name: [] for version in versions}
    for turn in range(turns):
        first = turn % len(versions)
        for version in (*versions[first:], *versions[:first]):
            found[version.name].append(version.bench.rate(batch, seconds))
    for version in versions[1:]:
        for figure in ("delivered_per_s", "server_cpu_us_per_event"):
            pairs = zip(found[version.name], found[versions[0].name], strict=True)
            _show(f"{version.name:<12} batches of {batch:<4} {figure:<24}", [a[figure] / b[figure] for a, b in pairs])


def _show(what: str, ratios: Sequence[float]) -> None:
    off = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0
    print(f"{what} median {statistics.median(ratios):.3f}  mean {statistics.mean(ratios):.3f} ±{off:.3f}", flush=True)


def main() -> None:
    """As above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="+")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 100], help="events a request")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        versions: list[Version] = []
        try:
            for checkout in (arguments.before, *arguments.after):
                versions.append(Version(checkout, Path(name) / str(len(versions))))
            for batch in arguments.batch:
                compare(versions, batch, arguments.turns, arguments.seconds)
        finally:
            for version in versions:
                version.stop()


if __name__ == "__main__":
    main()
