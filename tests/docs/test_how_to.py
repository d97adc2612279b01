"""The other pages: their blocks, run against one server, by somebody who has read the tutorial."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.checkout import publish
from tests.docs.markdown import ROOT, Block, blocks, pages
from tests.docs.network import API, network
from tests.docs.reader import PROGRAMS, Reader
from tests.examples.program import EXAMPLES

WEBHOOK = "http://127.0.0.1:5000/voipbin/webhook"
PAGES = [page for page in pages() if page != ROOT / "README.md" and page.parent.name != "tutorial"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("how-to")
    where = network()
    repository = publish(folder / "offhook")
    given = {"<this repository>": f"file://{repository}", "<password of theirs>": "correct-horse-battery"}
    # What is installed goes to a folder, from this repository, with what is there to build it. (For pip this variable
    # is the value of `build_isolation`.)
    pip = {"PIP_TARGET": str(folder / "site"), "PIP_NO_BUILD_ISOLATION": "false", "PIP_NO_INDEX": "1"}
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    node = {"NODE_PATH": str(EXAMPLES / "node" / "node_modules")}
    reader = Reader(where, repository, given, pip | path | node)
    reader.type("offhook serve --no-switch")
    reader.know(OFFHOOK_URL=f"http://127.0.0.1:{API}", URL=f"http://127.0.0.1:{API}")
    reader.know(OFFHOOK_TOKEN="<YOUR_ACCESS_KEY>", TOKEN="<YOUR_ACCESS_KEY>", WEBHOOK_SECRET="<YOUR_SECRET>")
    reader.type(f"offhook customer set --webhook-uri {WEBHOOK} --webhook-method POST")
    yield reader
    reader.leave()
    reader.close()
    where.close()


def a_receiver_that_runs(reader: Reader) -> None:
    reader.type("python -u examples/python/tutorial_flask.py")


def a_receiver_that_was_down(reader: Reader) -> None:
    reader.type("offhook trigger call_hungup")
    a_receiver_that_runs(reader)
    reader.type("offhook events list")


BEFORE: dict[str, Callable[[Reader], None]] = {
    "docs/how-to/recover-a-receiver.md": a_receiver_that_was_down,
    "examples/README.md": a_receiver_that_runs,
}


def try_program(block: Block, reader: Reader) -> None:
    """A receiver: it takes what the server signed, and nothing else."""
    program = reader.run_program(block)
    signed = reader.type('curl -s -X POST $URL/v1.0/customer/webhook_test -H "Authorization: Bearer $TOKEN"')
    assert '"outcome":"succeeded"' in signed.output, signed.output
    unsigned = reader.type(f"curl -s -o /dev/null -w '%{{http_code}}' {WEBHOOK} --json '{{}}'")
    assert unsigned.output.strip() == "400"
    assert "call_hungup" in program.output or "evt_" in program.output
    program.press_ctrl_c()


def try_unit(block: Block, folder: Path) -> None:
    """A unit of systemd: its command is one, and systemd knows each setting."""
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    written = unit["Service"]["ExecStart"]
    program, arguments = written.split(maxsplit=1)
    assert Path(program).name == "offhook"
    offhook = str(Path(sys.executable).with_name("offhook"))
    assert subprocess.run([offhook, *arguments.split(), "--help"], capture_output=True).returncode == 0
    if shutil.which("systemd-analyze"):
        file = folder / "offhook.service"
        file.write_text(block.text.replace(program, offhook))
        checked = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
        assert (checked.returncode, [line for line in checked.stderr.splitlines() if "offhook.service" in line]) == (
            0,
            [],
        )


def try_settings(block: Block, reader: Reader, folder: Path) -> None:
    """A settings file: it is read, and what it says counts."""
    file = folder / "offhook.toml"
    file.write_text(block.text)
    shown = reader.type(f"offhook config show --config {file}").output
    for line in filter(lambda line: " = " in line, block.text.splitlines()):
        name, _, value = line.partition(" = ")
        assert any(name in row and value.strip('["]') in row for row in shown.splitlines()), (line, shown)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_work(page: Path, reader: Reader, tmp_path: Path) -> None:
    found = [block for block in blocks(page) if block.norun is None]
    name = page.relative_to(ROOT).as_posix()
    if name in BEFORE:
        BEFORE[name](reader)
    for block in found:
        if block.text.startswith("pip install") and block.text.strip() in reader.typed:  # on another page
            continue
        match block.language:
            case "ini":
                try_unit(block, tmp_path)
            case "toml":
                try_settings(block, reader, tmp_path)
            case language if language in PROGRAMS:
                try_program(block, reader)
            case _:
                reader.read(block)
    reader.leave(but=1)
