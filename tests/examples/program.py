"""Running an example as its reader would: a process of its own, on a free port, its output read line by line."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 20.0


class Program:
    """A running example: `lines` is what it printed so far, standard error included."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for_line(self, *choices: str) -> None:
        """Returns once one of `choices` stands in the output; fails after some seconds without it.

        A program that answers two requests at once may print two things into one line.
        """
        with self._changed:
            printed = self._changed.wait_for(
                lambda: any(choice in line for choice in choices for line in self.lines), PATIENCE_S
            )
        assert printed, f"never printed {choices}, but {self.lines}"

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process.poll() is None, f"it ended: {self.lines}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"it does not listen: {self.lines}"
                time.sleep(0.02)

    def request(self, body: bytes, headers: Mapping[str, str], method: str = "POST") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, "/voipbin/webhook", body=body, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[Program]:
    """Runs `command` in the folder of examples until the block ends."""
    port = free_port()
    settings = {"PORT": str(port), "HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1", **environment}
    process = subprocess.Popen(
        command,
        cwd=EXAMPLES,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        program = Program(process, port)
        program.wait_until_it_listens()
        yield program
    finally:
        process.kill()
        process.wait(10)
