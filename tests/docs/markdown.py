"""The fenced blocks and the commands of a Markdown page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
NORUN = "norun:"
CTRL_C = "ctrl-c"
"""The language of what is no code: a comment `<!-- Ctrl-C in terminal 2 -->` after a sentence that says so."""
PLACEHOLDER = re.compile(r"<[A-Za-z_][\w -]*>")
"""What a reader replaces by something of their own."""
PROGRAMS = frozenset({".venv/bin/offhook", "offhook", "make", "sipp", "curl"})
"""What begins a piece of code in running text that is a command, if something follows."""

_CTRL_C = re.compile(r"<!-- Ctrl-C in terminal (\d+) -->")


@dataclass(frozen=True)
class Block:
    """One block of code. `norun` is the reason why nobody runs it, or None."""

    page: str
    line: int
    language: str
    norun: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that people read, but for what `make docs` writes and for the decisions."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("packages/*/*.md")]
    return sorted(page for page in found if page.parent.name not in {"reference", "decisions"})


def blocks(page: Path) -> list[Block]:
    """In the order in which they stand there."""
    name, found = page.relative_to(ROOT).as_posix(), []
    for token in _tokens(page):
        line = (token.map or [0])[0] + 1
        if token.type in {"fence", "code_block"}:
            language, _, rest = token.info.strip().partition(" ")
            reason = rest.strip().removeprefix(NORUN) if rest.strip().startswith(NORUN) else None
            found.append(Block(name, line, language, reason, token.content))
        elif token.type == "html_block" and (pressed := _CTRL_C.fullmatch(token.content.strip())):
            found.append(Block(name, line, CTRL_C, None, pressed[1]))
    return found


def spoken_commands(page: Path) -> list[str]:
    """Commands in the running text, such as `make help`, each once."""
    pieces = [piece.content for token in _tokens(page) for piece in token.children or [] if piece.type == "code_inline"]
    return [piece for piece in dict.fromkeys(pieces) if len(piece.split()) > 1 and piece.split()[0] in PROGRAMS]


def commands(text: str) -> Iterator[str]:
    """A shell block as somebody types it: one complete command at a time, without lines that are only a comment."""
    pending = ""
    for line in text.splitlines():
        pending += line + "\n"
        if line.endswith("\\") or not _is_complete(pending):
            continue
        if line.strip() and not line.lstrip().startswith("#"):
            yield pending.rstrip("\n")
        pending = ""
    assert not pending, f"a shell would wait for more: {pending}"


def _is_complete(text: str) -> bool:
    return (
        subprocess.run(["bash", "-n"], input=PLACEHOLDER.sub("x", text), text=True, capture_output=True).returncode == 0
    )


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
