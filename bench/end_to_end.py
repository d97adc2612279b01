"""The whole way: published over HTTP, committed, sent, signed, recorded; receiver and load on the same machine.

    python bench/end_to_end.py [--seconds 10] [--backlog 1000000] [--database postgresql://…] [--json]

Starts `offhook serve --no-switch` in a folder of its own, a receiver and a publisher as processes of their own, prints
events per second (one by one, and in batches of 100), the time from the 202 to the receiver's first byte at half that
rate, CPU per event, peak memory, and all of it again with a backlog of undelivered events present.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

import uvloop

_DATA = {"id": "x", "note": "y" * 400, "source": {"type": "tel", "target": "+15551230001"}}
_CONNECTIONS = 64
_EVENTS_PER_SUBJECT = 6
_TICKS = os.sysconf("SC_CLK_TCK")


class Receiver(asyncio.Protocol):
    """Answers 200 to everything and notes when the first byte of each webhook came."""

    arrived: dict[bytes, int]
    count = 0

    def __init__(self) -> None:
        self._rest = b""
        self._first_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._rest:
            self._first_ns = time.monotonic_ns()
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            size = end + 4 + int(_header(head, b"content-length:"))
            if len(self._rest) < size:
                return
            self._rest = self._rest[size:]
            Receiver.count += 1
            if Receiver.arrived is not None:
                Receiver.arrived[_header(head, b"webhook-id:")] = self._first_ns
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(name) + len(name)
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()


async def receive(port: int) -> None:
    """Serve until told `stop` on standard input; `count` and `dump FILE` answer questions meanwhile."""
    Receiver.arrived = {}
    loop = asyncio.get_running_loop()
    await loop.create_server(Receiver, "127.0.0.1", port, backlog=1024)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := (await reader.readline()).decode().split():
        if line[0] == "count":
            print(Receiver.count, flush=True)
        elif line[0] == "dump":
            text = {key.decode(): at for key, at in Receiver.arrived.items()}
            Path(line[1]).write_text(json.dumps(text))
            print("dumped", flush=True)
        elif line[0] == "clear":
            Receiver.arrived.clear()
            print("cleared", flush=True)
        else:
            return


class Publisher(asyncio.Protocol):
    """One kept-alive connection that publishes, one request after another."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._load.connections.append(self)

    def send(self) -> None:
        self._transport.write(self._load.next_request())

    def data_received(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            return
        size = end + 4 + int(_header(self._rest[:end].lower(), b"content-length:"))
        if len(self._rest) < size:
            return
        now = time.monotonic_ns()
        body, status, self._rest = self._rest[end + 4 : size], self._rest[9:12], self._rest[size:]
        if status != b"202":
            raise SystemExit(f"the server answered {status.decode()}: {body[:300].decode()}")
        self._load.answered(self, body, now)


class Load:
    """What is published: for `seconds`, as fast as answers come or at `rate` events a second."""

    def __init__(self, port: int, token: str, batch: int, seconds: float, rate: float, keep_times: bool) -> None:
        self.connections: list[Publisher] = []
        self.accepted: dict[str, int] = {}
        self.count = 0
        self._batch, self._rate, self._keep = batch, rate, keep_times
        self._seconds = seconds
        self._number = 0
        self._under_way = 0
        self._idle: list[Publisher] = []
        self._done = asyncio.Event()
        self._head = (
            f"POST /v1.0/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._run = f"{os.getpid()}-{time.time_ns()}"

    def next_request(self) -> bytes:
        self._under_way += 1
        events = []
        for _ in range(self._batch):
            subject = f"bench/{self._run}-{self._number // _EVENTS_PER_SUBJECT}"
            events.append({"type": "bench_event", "subject": subject, "data": _DATA})
            self._number += 1
        body = json.dumps(events if self._batch > 1 else events[0]).encode()
        return f"{self._head}{len(body)}\r\n\r\n".encode() + body

    def answered(self, connection: Publisher, body: bytes, now_ns: int) -> None:
        self._under_way -= 1
        self.count += self._batch
        if self._keep:
            for event_id in json.loads(body)["ids"]:
                self.accepted[event_id] = now_ns
        if time.monotonic() >= self._end:
            if not self._under_way:
                self._done.set()
        elif self._rate:
            self._idle.append(connection)
        else:
            connection.send()

    async def run(self) -> float:
        """Publish; the seconds it took."""
        start = time.monotonic()
        self._end = start + self._seconds
        if not self._rate:
            for connection in self.connections:
                connection.send()
        else:
            self._idle = list(self.connections)
            await self._pace(start)
        await asyncio.wait_for(self._done.wait(), self._seconds + 60)
        return time.monotonic() - start

    async def _pace(self, start: float) -> None:
        sent = 0
        while (now := time.monotonic()) < self._end:
            due = int((now - start) * self._rate / self._batch) - sent
            for _ in range(min(due, len(self._idle))):
                self._idle.pop().send()
                sent += 1
            await asyncio.sleep(0.001)
        if not self._under_way:
            self._done.set()


async def publish(port: int, token: str, batch: int, seconds: float, rate: float, out: str) -> None:
    """Run one load and write what was accepted, and when, to `out`."""
    load = Load(port, token, batch, seconds, rate, keep_times=rate > 0)
    loop = asyncio.get_running_loop()
    for _ in range(_CONNECTIONS if batch == 1 or rate else 4):
        await loop.create_connection(lambda: Publisher(load), "127.0.0.1", port)
    took = await load.run()
    Path(out).write_text(json.dumps({"count": load.count, "took": took, "accepted": load.accepted}))


class Server:
    """`offhook serve` in a folder of its own."""

    def __init__(self, folder: Path, database: str | None) -> None:
        self.port = _free_port()
        command = [str(Path(sys.executable).parent / "offhook")]
        made = subprocess.run(
            [*command, "init", "--data", str(folder / "data"), "--json", *_database(database)],
            check=True,
            capture_output=True,
        )
        credentials = json.loads(made.stdout)
        self.token: str = credentials["access_key"]
        self.process = subprocess.Popen(
            [
                *command,
                "serve",
                "--no-switch",
                "--data",
                str(folder / "data"),
                "--port",
                str(self.port),
                *_database(database),
            ],
            stdout=(folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        _wait_for(lambda: self.get("/readyz") is not None, 30)
        # The operator's role, for a second customer, comes with a log in only.
        body = {name: credentials[name] for name in ("username", "password")}
        self.token = self.call("POST", "/auth/login", body)["token"]

    def get(self, path: str) -> Any:
        return self.call("GET", path, None)

    def call(self, method: str, path: str, body: object) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null") or {}
        except (urllib.error.URLError, ConnectionError):
            return None

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class ReceiverProcess:
    """The receiver, and its answers."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--receive", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def ask(self, text: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(text, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


class Bench:
    """The measurements, on one running server."""

    def __init__(self, folder: Path, server: Server, receiver: ReceiverProcess) -> None:
        self.folder, self.server, self.receiver = folder, server, receiver

    def rate(self, batch: int, seconds: float) -> dict[str, float]:
        """Published as fast as it goes; delivered is what arrived until the last one had."""
        before, cpu, start = int(self.receiver.ask("count")), self.server.cpu_s(), time.monotonic()
        accepted = self._load(batch, seconds, 0)
        _wait_for(lambda: int(self.receiver.ask("count")) - before >= accepted["count"], 120)
        took = time.monotonic() - start
        return {
            "published_per_s": accepted["count"] / accepted["took"],
            "delivered_per_s": accepted["count"] / took,
            "server_cpu_us_per_event": (self.server.cpu_s() - cpu) / accepted["count"] * 1e6,
        }

    def latency(self, rate: float, seconds: float) -> dict[str, float]:
        """From the publisher's 202 to the receiver's first byte, at `rate` events a second."""
        self.receiver.ask("clear")
        before = int(self.receiver.ask("count"))
        accepted = self._load(1, seconds, rate)
        _wait_for(lambda: int(self.receiver.ask("count")) - before >= accepted["count"], 60)
        self.receiver.ask(f"dump {self.folder / 'arrived'}")
        arrived = json.loads((self.folder / "arrived").read_text())
        gaps = sorted((arrived[key] - at) / 1e6 for key, at in accepted["accepted"].items())
        return {
            "rate_per_s": accepted["count"] / accepted["took"],
            "p50_ms": gaps[len(gaps) // 2],
            "p99_ms": gaps[int(len(gaps) * 0.99)],
        }

    def _load(self, batch: int, seconds: float, rate: float) -> dict[str, Any]:
        out = self.folder / "load"
        subprocess.run(
            [
                sys.executable,
                __file__,
                "--publish",
                str(self.server.port),
                str(batch),
                str(seconds),
                str(rate),
                str(out),
            ],
            check=True,
            env={**os.environ, "BENCH_TOKEN": self.server.token},
        )
        answer: dict[str, Any] = json.loads(out.read_text())
        return answer


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder, arguments.database)
        receiver_port = _free_port()
        receiver = ReceiverProcess(receiver_port)
        try:
            bench = Bench(folder, server, receiver)
            return _measure(bench, receiver_port, arguments)
        finally:
            receiver.stop()
            server.stop()


def _measure(bench: Bench, receiver_port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    _point(bench.server, receiver_port)
    results: dict[str, Any] = {"empty": _figures(bench, arguments.seconds)}
    if arguments.backlog:
        results["backlog"] = _pile_up(bench, arguments.backlog)
        results["with_backlog"] = _figures(bench, arguments.seconds)
    results["peak_memory_mib"] = bench.server.peak_mib()
    return results


def _figures(bench: Bench, seconds: float) -> dict[str, Any]:
    one = bench.rate(1, seconds)
    _show("one by one", one)
    many = bench.rate(100, seconds)
    _show("batches of 100", many)
    late = bench.latency(one["delivered_per_s"] / 2, seconds)
    _show("at half the rate", late)
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
    dead = _free_port()
    bench.server.call(
        "PUT", f"/v1.0/customers/{theirs}", {"webhook_uri": f"http://127.0.0.1:{dead}/", "webhook_method": "POST"}
    )
    start, cpu = time.monotonic(), bench.server.cpu_s()
    for first in range(0, count, 1000):
        events = [
            {"type": "bench_event", "subject": f"backlog/{(first + number) // _EVENTS_PER_SUBJECT}", "data": _DATA}
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
    _show("backlog", figures)
    return figures


def _point(server: Server, receiver_port: int) -> None:
    uri = f"http://127.0.0.1:{receiver_port}/hook"
    if server.call("PUT", "/v1.0/customer", {"webhook_uri": uri, "webhook_method": "POST"}) is None:
        raise SystemExit("the server refused the receiver's uri")


def _show(name: str, figures: dict[str, float]) -> None:
    print(f"{name:>18}: " + ", ".join(f"{key} {value:,.1f}" for key, value in figures.items()), flush=True)


def _database(url: str | None) -> list[str]:
    return ["--database", url] if url else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"gave up waiting after {seconds:.0f} s")
        time.sleep(0.05)


def main() -> None:
    """Measure and print, or play one of the two helpers."""
    if sys.argv[1:2] == ["--receive"]:
        uvloop.run(receive(int(sys.argv[2])))
        return
    if sys.argv[1:2] == ["--publish"]:
        port, batch, seconds, rate, out = sys.argv[2:7]
        uvloop.run(publish(int(port), os.environ["BENCH_TOKEN"], int(batch), float(seconds), float(rate), out))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--database")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = measure(arguments)
    print(
        json.dumps(results, indent=2)
        if arguments.json
        else f"peak memory of the server: {results['peak_memory_mib']:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
