"""The installed command, run as a person would: `offhook init`, `offhook serve`, and questions over HTTP."""

from __future__ import annotations

import atexit
import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.forked import run_forked
from tests.ports import free_port, voice_ports

T = TypeVar("T")
OFFHOOK = Path(sys.executable).parent / "offhook"
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """What `condition` answers once that is true of something; fails with `what` when it never is."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s in vain: {what}"
        time.sleep(0.02)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything of ours in it, nor what makes every start compile all of our code again."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    rest.pop("PYTHONDONTWRITEBYTECODE", None)
    return rest | more


def offhook(*arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    ended = run_forked(arguments, clean_environment(**environment), timeout_s=60)
    if check:
        assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
    return ended


def init(data: Path, *database: str) -> dict[str, str]:
    """Make the first customer there; its credentials.

    In a folder's own database it is the same customer every time: making it takes seconds of a core.
    """
    if database:
        made: dict[str, str] = json.loads(offhook("init", "--data", str(data), "--json", *database).stdout)
        return made
    folder, credentials = _made_once()
    shutil.copytree(folder, data)
    return credentials


@functools.cache
def _made_once() -> tuple[Path, dict[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="offhook-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = offhook("init", "--data", str(folder / "data"), "--json")
    return folder / "data", json.loads(made.stdout)


HEARING_HANGUPS = ("env", "--default-signal=HUP")
"""Before a program: SIGHUP means there what it means, also where the tests themselves were begun by nohup."""


class OffhookServer:
    """`offhook serve` on a data folder. It may be killed and started again as often as a test likes."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self.data = data
        self.options = options
        first, last = voice_ports()
        self.environment = {"OFFHOOK_SWITCH__RTP_FIRST": str(first), "OFFHOOK_SWITCH__RTP_LAST": str(last)}
        self.environment |= environment
        self.port = free_port()
        self.log = data.parent / f"{data.name}.log"
        database = (
            options[options.index("--database") : options.index("--database") + 2] if "--database" in options else ()
        )
        self.credentials = init(data, *database)
        self.token = self.credentials["access_key"]
        self.process: subprocess.Popen[bytes] | None = None
        self.program = [*HEARING_HANGUPS, str(OFFHOOK)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, ready: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "serve", "--data", str(self.data), "--port", str(self.port), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(**self.environment),
            )
        if ready:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()[-3000:]}"
            return self.request("GET", "/readyz")[0] == 200

        try:
            wait_until(answers, "the server is ready")
        except BaseException:
            # No fixture ends what did not come so far.
            if self.process is not None:
                self.process.kill()
            raise

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """Ask it to stop, as a service manager does; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def stop_at_once(self) -> int:
        """Ask it to stop, and again while it is stopping, which it must be for a while; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "node.stopping" in self.log.read_text(), "it is stopping")
        time.sleep(0.6)  # the moment within which it would be the same asking
        assert self.process.poll() is None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)

    def request(
        self, method: str, path: str, body: object = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON of one answer; status 0 if there was none."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError):
            return 0, None

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of a good answer; anything else fails."""
        status, answer = self.request(method, path, body)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command that talks to this server, told where it is as a person would tell it."""
        return offhook(*arguments, check=check, OFFHOOK_URL=self.url, OFFHOOK_TOKEN=self.token)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
