"""README and tutorial, walked through by somebody who types what they say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.checkout import publish
from tests.docs.markdown import NORUN, ROOT, blocks, pages, spoken_commands
from tests.docs.network import network
from tests.docs.reader import SHELLS, Reader
from tests.rounds import IS_LONG

README = ROOT / "README.md"
TUTORIALS = sorted(ROOT.glob("docs/tutorial/*.md"))
TOOLS = ROOT / ".venv" / "share" / "offhook" / "tools" / "bin"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture(params=["own network", "other ports"])
def reader(request: pytest.FixtureRequest, repository: Path, tmp_path: Path) -> Iterator[Reader]:
    if request.param == "other ports" and not IS_LONG:
        pytest.skip("in `make test-all`")
    where = network(own=request.param == "own network")
    tools = {"PATH": f"{os.environ['PATH']}:{TOOLS}"}
    # A receiver that is back is tried sooner than half a minute later, so that nobody sits and waits.
    sooner = {"OFFHOOK_DELIVERY__RETRY_SCHEDULE": "1s,5s,8s,8s,8s,8s,8s"}
    reader = Reader(where, tmp_path, {"<this repository>": str(repository)}, tools | sooner)
    yield reader
    reader.close()
    where.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", [README, *TUTORIALS], ids=lambda page: page.name)
def test_what_a_page_says_works(page: Path, reader: Reader) -> None:
    if page != README:  # a tutorial begins where the README's first command has led
        reader.type("git clone <this repository> offhook && cd offhook")
    for block in blocks(page):
        reader.read(block)
    written = "\n".join(block.text for block in blocks(page) if block.language in SHELLS)
    reader.type_at_once([command for command in spoken_commands(page) if command not in written], page.name)
    reader.seen(re.compile(r"Call [-0-9a-f]{36} ended: normal"))
    reader.leave()


def test_what_is_not_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    skipped = [block for page in pages() for block in blocks(page) if block.norun is not None]
    with capsys.disabled():
        for block in skipped:
            print(f"\n{block} is run by nobody: {block.norun}", end="")
    assert all(block.norun for block in skipped), f"say why: {NORUN}<reason>"
    assert not [block for block in skipped if block.page == README.name or "tutorial" in block.page]
