"""A repository to clone: what stands in this checkout now, set up already.

Its `.venv` leads to the one that the tests run in, so that `make run` finds everything done. An environment that is
older than what `pyproject.toml` asks for is not mended from here; it is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.markdown import ROOT

_NO_UV = """#!/bin/sh
echo 'The environment is older than pyproject.toml: run `make setup-test` first.' >&2
exit 1
"""


def publish(folder: Path) -> Path:
    """Make that repository in `folder`."""
    for name in _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    _link_environment(folder / ".venv")
    (folder / "examples" / "node" / "node_modules").symlink_to(ROOT / "examples" / "node" / "node_modules")
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all", "--force")
    author = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.com")
    _git(folder, *author, "commit", "--quiet", "--message", "As it stands")
    return folder


def _link_environment(folder: Path) -> None:
    own = Path(sys.prefix)
    (folder / "bin").mkdir(parents=True)
    for part in own.iterdir():
        if part.name not in {"bin", "stamps", ".lock"}:
            (folder / part.name).symlink_to(part)
    shutil.copytree(own / "stamps", folder / "stamps")
    for program in (own / "bin").iterdir():
        if program.name != "uv":
            (folder / "bin" / program.name).symlink_to(program)
    (folder / "bin" / "uv").write_text(_NO_UV)
    (folder / "bin" / "uv").chmod(0o755)


def _git(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout
