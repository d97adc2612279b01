"""The espeak-ng that set-up has unpacked, and the data that came with it."""

from __future__ import annotations

from pathlib import Path

SPEECH = "speech"
"""The folder that it is unpacked into."""

PROGRAM = "usr/bin/espeak-ng"


def data_folder(root: Path) -> Path | None:
    """Its data, None if they are not there. Without them it would take the system's, if there are any."""
    found = next(iter(sorted(root.glob("usr/lib/*/espeak-ng-data/phontab"))), None)
    return None if found is None else found.parent


def is_installed(root: Path) -> bool:
    """Whether there is an espeak-ng at `root`, with its data."""
    return (root / PROGRAM).is_file() and data_folder(root) is not None


def version_of(root: Path) -> str:
    """Which one it is, by its library."""
    return next((path.name for path in sorted(root.glob("usr/lib/*/libespeak-ng.so.*.*"))), "")
