"""The generated reference pages say what the code says."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from offhook.settings.loading import declarations
from offhook.web.errors import STATUS_OF, STATUSES

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "reference.py"))


@pytest.mark.parametrize("name", SCRIPT["PAGES"])
def test_a_reference_page_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == SCRIPT["PAGES"][name](), f"docs/reference/{name} is old: run `make docs`"


def test_the_page_of_errors_has_every_status() -> None:
    listed = {(code, status) for code, status, _ in STATUSES}
    assert set(STATUS_OF.values()) | {(405, "NOT_FOUND"), (409, "ALREADY_EXISTS"), (500, "INTERNAL")} == listed
    assert "retry_after_s" not in (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")


def test_the_tutorial_says_how_long_order_is_kept() -> None:
    text = (ROOT / "docs" / "tutorial" / "first-webhook.md").read_text(encoding="utf-8")
    step = text[text.index("## 6.") : text.index("## Next")]
    hold = declarations()["delivery.order_hold"].default
    assert f"`delivery.order_hold` ({hold.replace('s', ' s')})" in step
    assert "`offhook-sequence`" in step
    gaps = declarations()["delivery.retry_schedule"].default.split(",")[:3]
    assert ", ".join(gap.replace("s", " s") for gap in gaps) in step


def test_the_examples_name_the_target_that_installs_what_they_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needs_tests = not any(name.startswith("flask") for name in project["project"]["dependencies"])
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert (re.findall(r"`make ([a-z-]+)`", text) == ["setup-test"]) == needs_tests


def test_set_up_does_not_worry_people_about_a_frozen_mirror() -> None:
    script = (ROOT / "scripts" / "unpack-debian.sh").read_text(encoding="utf-8")
    said = [line for line in script.splitlines() if line.lstrip().startswith(("echo", "say"))]
    assert not [line for line in said if "lapsed" in line]


def test_every_link_in_the_docs_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/README.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        if "node_modules" not in page.parts
        for target in _links(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def _links(text: str) -> list[str]:

    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if "://" not in target and not target.startswith("mailto:")]
