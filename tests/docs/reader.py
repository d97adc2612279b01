"""Somebody who reads a page and does what it says, block by block.

Shell blocks are typed into a terminal. A program that stays keeps its terminal, and the next command is typed into
another; a whole program is saved and started. What stands in angle brackets is filled in with what was seen before:
the access key that the server printed, the id of an event. A block without a language is what shall be seen.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.acceptance.server import clean_environment, wait_until
from tests.docs.markdown import CTRL_C, PLACEHOLDER, Block, commands
from tests.docs.network import API, OtherPorts, OwnNetwork
from tests.docs.terminal import Terminal

SHELLS = frozenset({"sh", "bash", "shell", "console"})
OUTPUTS = frozenset({"", "text"})
PROGRAMS = {"python": ".venv/bin/python -u", "js": "node"}
SEEN = {
    "<YOUR_ACCESS_KEY>": re.compile(r"\bvb_[\w-]{32}"),
    "<YOUR_PASSWORD>": re.compile(r"(?m)^\s*password\s+(\S+)$"),
    "<YOUR_SECRET>": re.compile(r"\bwhsec_\S+"),
    "<event id>": re.compile(r"\bevt_\w{20,}\b"),
    "<flow id>": re.compile(r"(?m)^The flow ([-0-9a-f]{36}) has"),
}
SUITE = re.compile(r"make (test|test-all|check|bench)\b")
"""What cannot be run inside of itself: make says what it would do (`-n`)."""
_VARYING = re.compile(
    r"\b[0-9a-f]{8}-(?:…|(?:[0-9a-f]{4}-){3}[0-9a-f]{12})|\b[0-9a-f]{8}\b|\bevt_\w+|\b(?:vb|whsec)_\S+"
    r"|\b\d\d:\d\d:\d\d [A-Z]{3,5}\b|\b\d+\.\d+ s\b|…"
)
"""What is another each time: ids, secrets, times of day with their zone, spans, and what was left out."""


class Reader:
    """Opens the first terminal in `folder`; `given` fills in what no page shows, such as `<this repository>`."""

    def __init__(
        self,
        network: OwnNetwork | OtherPorts,
        folder: Path,
        given: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._network = network
        self._given = given or {}
        self._mark = f"OFFHOOK_TEST_READER={folder}"
        self._environment = {
            **clean_environment(TERM="xterm", LANG="C.UTF-8", HOME=str(folder)),
            **dict([self._mark.split("=", 1)]),
            **network.environment,
            **(environment or {}),
        }
        self._folder = folder
        self.terminals: list[Terminal] = []
        self.typed: set[str] = set()

    def read(self, block: Block) -> None:
        """Do what one block says. Fails if a command fails, or if what shall be seen is not seen."""
        assert block.norun is None
        if block.language in SHELLS:
            for command in commands(block.text):
                self.type(command, str(block))
        elif block.language in PROGRAMS:
            self.run_program(block)
        elif block.language == CTRL_C:
            self.terminals[int(block.text) - 1].press_ctrl_c()
        else:
            assert block.language in OUTPUTS, f"{block}: nobody knows how to run {block.language}"
            self._see(block)

    def type(self, command: str, where: str = "") -> Terminal:
        """Type one command and wait until it has ended well, or stays. The terminal that shows it."""
        self.typed.add(command)
        written = self._network.written(self._filled_in(command, where))
        terminal = self._free_terminal()
        self._check(terminal, terminal.run(f"MAKEFLAGS=n {written}" if SUITE.match(written) else written), where)
        if terminal.is_busy and self._answers("/healthz"):
            wait_until(lambda: self._answers("/readyz"), f"{where}: the server is ready")
        if terminal.follows:
            assert terminal.press_ctrl_c() in {0, 130}
        return terminal

    def type_at_once(self, typed: Sequence[str], where: str) -> None:
        """Type each command into a terminal of its own, and wait until all have ended well."""
        written = [self._network.written(self._filled_in(command, where)) for command in typed]
        terminals = [self._open_terminal() for _ in written]
        with ThreadPoolExecutor() as hands:
            for terminal, status in zip(terminals, hands.map(Terminal.run, terminals, written), strict=True):
                self._check(terminal, status, where)

    def run_program(self, block: Block) -> Terminal:
        """Save a program to a file and start it."""
        file = self.folder / f"program_{block.line}.{block.language}"
        file.write_text(self._network.written(block.text), encoding="utf-8")
        return self.type(f"{PROGRAMS[block.language]} {file}", str(block))

    @property
    def folder(self) -> Path:
        """Where the latest terminal is."""
        return self.terminals[-1].folder if self.terminals else self._folder

    def seen(self, pattern: re.Pattern[str]) -> str:
        """The latest such thing on any screen."""

        def latest() -> str | None:
            found = [piece for terminal in self.terminals for piece in pattern.findall(terminal.screen)]
            return found[-1] if found else None

        text: str = wait_until(latest, f"{pattern.pattern} is shown")
        return text

    def know(self, **environment: str) -> None:
        """From here on each new terminal has these in its environment, filled in."""
        self._environment |= {
            name: self._network.written(self._filled_in(value, name)) for name, value in environment.items()
        }

    def leave(self, *, but: int = 0) -> None:
        """Press Ctrl-C wherever something stays, the newest first, and see each prompt come back.

        The first `but` terminals are left alone.
        """
        for terminal in reversed(self.terminals[but:]):
            if terminal.is_busy:
                terminal.press_ctrl_c()

    def close(self) -> None:
        """Close the terminals, and end whatever was started in them and is left."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                variables, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
                # An Asterisk has an environment of its own; its files are ours.
                if self._mark.encode() in variables.split(b"\0") or f"{self._folder}/".encode() in command:
                    os.kill(int(folder.name), signal.SIGKILL)
        for terminal in self.terminals:
            terminal.close()

    def _free_terminal(self) -> Terminal:
        if not self.terminals or self.terminals[-1].is_busy:
            return self._open_terminal()
        return self.terminals[-1]

    def _open_terminal(self) -> Terminal:
        self.terminals.append(Terminal(self._network.prefix, self.folder, self._environment))
        return self.terminals[-1]

    def _check(self, terminal: Terminal, status: int | None, where: str) -> None:
        assert not status, f"{where}: exit code {status}\n{terminal.output[-3000:]}"
        assert '{"error":' not in terminal.output, f"{where}: {terminal.output}"

    def _filled_in(self, command: str, where: str) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[0]
            assert name in SEEN or name in self._given, f"{where}: nobody knows what to type for {name}"
            return self._given[name] if name in self._given else self.seen(SEEN[name])

        return PLACEHOLDER.sub(value, command)

    def _see(self, block: Block) -> None:
        """Each line of it, together with the indented ones below it, is on some screen; where it is broken is free."""
        for entry in re.split(r"\n(?=\S)", self._network.written(block.text).strip()):
            parts = [r"\s+".join(map(re.escape, part.split())) for part in _VARYING.split(entry)]
            self.seen(re.compile(r"\s*\S.*?\s*".join(parts)))

    def _answers(self, path: str) -> bool:
        url = self._network.written(f"http://127.0.0.1:{API}{path}")
        asked = [*self._network.prefix, "curl", "--silent", "--fail", "--max-time", "5", "--output", os.devnull, url]
        return subprocess.run(asked).returncode == 0
