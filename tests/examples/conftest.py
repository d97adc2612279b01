"""Where Node.js and its packages are; without them the tests fail, they do not skip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE_FOLDER = ROOT / "examples" / "node"
HOW_TO_GET_IT = "run `make setup-test`, or `make test`, which does it too"


@pytest.fixture(scope="session")
def node() -> str:
    """The path of a Node.js that can run the examples."""
    unpacked = ROOT / ".venv" / "share" / "offhook" / "tools" / "bin" / "node"
    program = shutil.which("node") or (str(unpacked) if unpacked.exists() else None)
    if program is None:
        pytest.fail(f"Node.js is missing: {HOW_TO_GET_IT}")
    for package in ("express", "standardwebhooks"):
        if not (NODE_FOLDER / "node_modules" / package / "package.json").exists():
            pytest.fail(f"the Node.js package {package} is missing: {HOW_TO_GET_IT}")
    return program
