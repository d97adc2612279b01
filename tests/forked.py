"""Commands of the program, run by the hundred: each in a process of its own that need not begin with a lot of imports.

One process imports what the program imports, and forks for every command that it is asked for. The fork has the
arguments, the environment, the folder and the output that it is given, runs `offhook.cli.main`, and ends as that ends,
without taking apart what was imported: measured, a command costs 0.03 s of a core, not 0.5. (The program as it is
installed ends by itself where the documentation is walked through.)
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_turn = threading.Lock()


def run_forked(
    arguments: Sequence[str], environment: Mapping[str, str], *, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `offhook` to its end."""
    with tempfile.TemporaryDirectory(prefix="offhook-forked-") as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        asked = {"arguments": [*arguments], "environment": {**environment}, "out": str(out), "err": str(err)}
        code = _ask({**asked, "folder": str(Path.cwd()), "timeout_s": timeout_s})
        if code is None:
            raise subprocess.TimeoutExpired(["offhook", *arguments], timeout_s)
        return subprocess.CompletedProcess(["offhook", *arguments], code, out.read_text(), err.read_text())


def _ask(asked: Mapping[str, Any]) -> int | None:
    with _turn:
        forking = _forking()
        assert forking.stdin is not None
        assert forking.stdout is not None
        forking.stdin.write(json.dumps(asked) + "\n")
        forking.stdin.flush()
        code: int | None = json.loads(forking.stdout.readline())
        return code


@functools.cache
def _forking() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    atexit.register(process.stdin.close)
    return process


def _serve() -> None:
    """Fork for each line of the input, and say how that ended."""
    import offhook.cli.local.operations  # noqa: F401 - and with it all that commands import

    # Else each fork would look through all of it, and so copy it.
    gc.freeze()
    sys.argv[0] = "offhook"
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            answers.close()
            _become(asked)
        answers.write(json.dumps(_end_of(child, asked["timeout_s"])) + "\n")
        answers.flush()


def _become(asked: Mapping[str, Any]) -> None:
    from offhook.cli import main

    nothing: IO[bytes]
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for number, name in ((1, "out"), (2, "err")):
        with open(asked[name], "wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    sys.argv[1:] = asked["arguments"]
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code or 0)


def _end_of(child: int, timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    _serve()
