"""The processes of a benchmark: `offhook serve`, the receiver, the publisher."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from load import Plan

_HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_OFFHOOK = str(Path(sys.executable).parent / "offhook")


class Server:
    """`offhook serve --no-switch` in a folder of its own, with one customer."""

    def __init__(self, folder: Path, database: str | None) -> None:
        self._folder = folder
        self._where = ["--data", str(folder / "data"), *(["--database", database] if database else [])]
        made = subprocess.run([_OFFHOOK, "init", "--json", *self._where], check=True, capture_output=True)
        self._credentials = json.loads(made.stdout)
        self.access_key: str = self._credentials["access_key"]
        self.database_url = database or f"sqlite:///{folder / 'data' / 'offhook.db'}"

    def start(self) -> None:
        """Run, until `stop`."""
        self.port = free_port()
        self.process = subprocess.Popen(
            [_OFFHOOK, "serve", "--no-switch", "--port", str(self.port), *self._where],
            stdout=(self._folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "OFFHOOK_LIMITS__ADDRESS_PER_SECOND": "0"},
        )
        self.token = self.access_key
        wait_for(lambda: self.call("GET", "/readyz") is not None, 60)
        # The operator's role, for a second customer, comes with a log in only.
        body = {name: self._credentials[name] for name in ("username", "password")}
        self.token = self.call("POST", "/auth/login", body)["token"]

    def stop(self) -> None:
        """End it; it may be started again."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's body; None if it was refused or there was none."""
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
        """What it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_mib(self) -> float:
        """The most memory that it had at once."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0.0


class ReceiverProcess:
    """The receiver, and its answers."""

    def __init__(self) -> None:
        self.port, self.hanging_port = free_port(), free_port()
        self.process = subprocess.Popen(
            [sys.executable, str(_HERE / "receiver.py"), str(self.port), str(self.hanging_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def ask(self, text: str) -> str:
        """The answer to a command."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(text, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def count(self, path: str) -> int:
        """How many webhooks came to `path` and below."""
        return int(self.ask(f"count {path}"))

    def stop(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


class LoadProcess:
    """A plan under way; `result` waits for its end."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        command = [sys.executable, str(_HERE / "load.py"), msgspec.json.encode(plan).decode()]
        self._process = subprocess.Popen(command)

    def result(self) -> dict[str, Any]:
        """What was accepted: `count`, `took` in seconds, and when (only at a given rate)."""
        if self._process.wait():
            raise SystemExit("the publisher failed")
        answer: dict[str, Any] = json.loads(Path(self._plan.out).read_text())
        return answer


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Until `condition` holds, or the end of the benchmark."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"gave up waiting after {seconds:.0f} s")
        time.sleep(0.05)


def show(name: str, figures: dict[str, float]) -> None:
    """One line of figures."""
    print(f"{name:>18}: " + ", ".join(f"{key} {value:,.2f}" for key, value in figures.items()), flush=True)
