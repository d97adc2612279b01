"""`offhook flow check`: what is wrong with a file, said without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from offhook.cli.main import program
from offhook.domain.errors import InvalidError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "flows").glob("*.json"))


def check(content: Any, tmp_path: Path) -> tuple[str, str]:
    """What it prints, and how it ends."""
    file = tmp_path / "flow.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    result = CliRunner().invoke(program, ["flow", "check", str(file)])
    assert result.exception is None or isinstance(result.exception, InvalidError)
    return result.output.replace(str(file), "FILE"), str(result.exception or "").replace(str(file), "FILE")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_has_no_faults(example: Path) -> None:
    result = CliRunner().invoke(program, ["flow", "check", str(example)])
    assert (result.exit_code, "no faults" in result.output) == (0, True)


def test_a_list_of_actions_alone_is_read_too_and_standard_input(tmp_path: Path) -> None:
    assert check([{"type": "answer"}], tmp_path) == ("FILE: 1 actions, no faults.\n", "")
    assert CliRunner().invoke(program, ["flow", "check", "-"], input="[]").output == "-: 0 actions, no faults.\n"


def test_each_fault_is_a_line_with_its_place(tmp_path: Path) -> None:
    flow = {"actions": [{"type": "tlak"}, {"type": "sleep", "option": {"duration": -1}}, {"type": "answer"}]}
    output, error = check(flow, tmp_path)
    first, second = output.splitlines()
    assert first.startswith("FILE: actions[0].type: ")
    assert "talk" in first
    assert second.startswith("FILE: actions[1].option.duration: ")
    assert error == "FILE is not a flow yet."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("7", "holds neither a flow nor a list of actions"),
        ('{"actions": 7}', "actions is not a list of actions"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_flow_at_all_is_said(tmp_path: Path, content: str, said: str) -> None:
    output, error = check(content, tmp_path)
    assert (output, said in error) == ("", True)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["flow", "check", str(tmp_path / "none.json")])
    assert "none.json cannot be read" in str(result.exception)
