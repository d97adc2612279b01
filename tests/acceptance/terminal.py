"""`offhook serve` at a terminal of 80 columns, as a person starts it, and what stands on that terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from pathlib import Path

from tests.acceptance.server import HEARING_HANGUPS, OFFHOOK, clean_environment, wait_until

WIDTH = 80
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ServerTerminal:
    """A server whose standard input, output and error are a terminal; Ctrl-C is a key on it."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
        self.process = subprocess.Popen(
            [*HEARING_HANGUPS, "setsid", "--ctty", str(OFFHOOK), "serve", "--data", str(data), *options],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=clean_environment(TERM="xterm", TZ="UTC", **environment),
        )
        os.close(theirs)
        self._shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # The other end is an error on Linux once nobody has it open any more.
        with contextlib.suppress(OSError):
            while block := os.read(self._ours, 65_536):
                self._shown += block

    @property
    def text(self) -> str:
        """What stands there, without colours."""
        return _COLOURS.sub("", self._shown.decode()).replace("\r\n", "\n")

    @property
    def words(self) -> str:
        """The same as if it were one line, however it was folded."""
        return " ".join(self.text.split())

    def wait_for(self, said: str) -> None:
        wait_until(lambda: said in self.words, f"the terminal shows {said!r}")

    def stop(self) -> int:
        """Press Ctrl-C; the exit code."""
        if self.process.poll() is None:
            os.write(self._ours, b"\x03")
        code = self.process.wait(30)
        self._reader.join(5)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(5)
        os.close(self._ours)
