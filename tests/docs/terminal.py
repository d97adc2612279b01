"""A terminal with a shell: commands are typed into it, its screen is read, Ctrl-C is pressed.

The shell says after each command how it ended (`PROMPT_COMMAND`). A command that does not end may be one that is
meant to stay: a program that listens, or one that follows something.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.acceptance.test_doors import doors

PATIENCE_S = 60.0
FOLLOWS = re.compile(r"\bevents tail\b")
"""Commands that show what happens until somebody presses Ctrl-C."""
_HEARING = ("env", "--default-signal=INT,QUIT,HUP")
"""Ctrl-C means what it means, also where the tests were begun in the background of a script."""
_EVENT = re.compile(r"\b(call|activeflow)_[a-z]+\b")
_ENDED = re.compile(r"\x1e(\d+)\x1e")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b\][^\x07]*\x07|\r")


class Terminal:
    """`prefix` is what the shell is started by, such as a way into another network."""

    def __init__(self, prefix: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, 120))
        settings = termios.tcgetattr(slave)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        self.process = subprocess.Popen(
            [*prefix, *_HEARING, "setsid", "--ctty", "bash", "--noprofile", "--norc", "--noediting", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**environment, "PS1": "", "PS2": "", "PROMPT_COMMAND": r'printf "\036%d\036" $?', "HISTFILE": ""},
        )
        os.close(slave)
        self._raw = ""
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self._from = 0
        self.is_busy = self.follows = False
        self._wait_for(self._end)

    def _listen(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65_536)
            except OSError:  # EIO: the last one that had the other end is gone
                return
            with self._changed:
                self._raw += piece.decode("utf-8", "replace")
                self._changed.notify_all()

    @property
    def folder(self) -> Path:
        """Where its shell is now."""
        return Path(os.readlink(f"/proc/{self.process.pid}/cwd"))

    @property
    def screen(self) -> str:
        """All that was ever shown."""
        with self._changed:
            return _shown(self._raw)

    @property
    def output(self) -> str:
        """What the last command has shown so far."""
        with self._changed:
            return _shown(self._raw[self._from :])

    def run(self, command: str) -> int | None:
        """Type a command. Its exit code, or None when it stays."""
        assert not self.is_busy
        self._from = len(self._raw)
        self.is_busy = True
        os.write(self._master, command.encode() + b"\n")
        self.follows = FOLLOWS.search(command) is not None
        self._wait_for(lambda: self._end() or self._listens() or (self.follows and self._has_shown()), command)
        return self._finish()

    def press_ctrl_c(self) -> int | None:
        """Interrupt what is running; its exit code."""
        os.write(self._master, b"\x03")
        self._wait_for(self._end, "Ctrl-C")
        return self._finish()

    def close(self) -> None:
        """Hang up."""
        os.close(self._master)
        self.process.wait(10)

    def _finish(self) -> int | None:
        ended = self._end()
        self.is_busy = ended is None
        return int(ended[1]) if ended else None

    def _end(self) -> re.Match[str] | None:
        return _ENDED.search(self._raw, self._from)

    def _listens(self) -> bool:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one of them has just ended
            return any(doors(pid, "tcp") for pid in self._in_front())
        return False

    def _has_shown(self) -> bool:
        """Whether an event is there to read, and nothing more has come for a moment."""
        before = self._raw
        if not _EVENT.search(_shown(before[self._from :])):
            return False
        with self._changed:
            return not self._changed.wait_for(lambda: self._raw != before, 1)

    def _in_front(self) -> Iterator[int]:
        group = os.tcgetpgrp(self._master)
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group and group != self.process.pid:
                    yield int(folder.name)
            except (FileNotFoundError, ProcessLookupError):
                continue

    def _wait_for(self, condition: Callable[[], object], what: str = "a shell") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: neither ended nor stayed, and showed:\n{self.output[-3000:]}"
            with self._changed:
                self._changed.wait(0.05)


def _shown(raw: str) -> str:
    return _ESCAPES.sub("", _ENDED.sub("", raw))
