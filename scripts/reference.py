"""Write the generated reference pages: `make docs`. A test compares them with the code."""

from __future__ import annotations

from pathlib import Path

from offhook.cli.reference import reference_page as commands_page
from offhook.domain.catalogue.page import reference_page as events_page
from offhook.settings.page import reference_page as settings_page
from offhook.web.errors import reference_page as errors_page

PAGES = {
    "commands.md": commands_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "settings.md": settings_page,
}
FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def main() -> None:
    """Write them all."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
