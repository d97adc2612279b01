"""An Asterisk that was unpacked into a folder of its own, and how its programs are run from there."""

from __future__ import annotations

import sys
from pathlib import Path

from offhook.domain.errors import MisconfiguredError


def default_root() -> Path:
    """Where `make setup` unpacks it: beside the programs of this virtual environment."""
    return Path(sys.prefix) / "share" / "offhook" / "asterisk"


def music_folder(root: Path) -> Path | None:
    """Where `make setup` unpacks the music on hold for an Asterisk at `root`, None if it could not be had."""
    folder = root.with_name("music") / "usr/share/asterisk/moh"
    return folder if any(folder.glob("*.wav")) else None


def is_installed(root: Path) -> bool:
    """Whether there is an Asterisk at `root`."""
    return (root / "usr/sbin/asterisk").is_file()


def command(root: Path, program: str, *arguments: str) -> list[str]:
    """The command line of a program at `root`, run by the loader and with the libraries that came with it.

    Raises MisconfiguredError if it is not there.
    """
    binary = root / program
    if not binary.is_file():
        raise MisconfiguredError(
            f"There is no Asterisk at {root}. Run `make setup` to fetch one, give --asterisk to use one that runs "
            "elsewhere, or --no-switch to do without a phone system."
        )
    loader = next(iter(sorted(root.rglob("ld-linux*.so.*"))), None)
    if loader is None:
        return [str(binary), *arguments]
    folders = [
        path for top in ("usr/lib", "lib") for path in sorted((root / top).glob("*-linux-gnu*")) if path.is_dir()
    ]
    libraries = ":".join(str(path) for path in (*folders, root / "usr/lib"))
    return [str(loader), "--library-path", libraries, str(binary), *arguments]
