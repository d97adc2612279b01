"""An Asterisk that was unpacked into a folder of its own, and how its programs are run from there."""

from __future__ import annotations

from pathlib import Path

from offhook.domain.errors import MisconfiguredError
from offhook.node.unpacked import command_line, unpacked_folder


def default_root() -> Path:
    """Where `make setup` unpacks it: beside the programs of this virtual environment."""
    return unpacked_folder("asterisk")


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
    if not (root / program).is_file():
        raise MisconfiguredError(
            f"There is no Asterisk at {root}. Run `make setup` to fetch one, give --asterisk to use one that runs "
            "elsewhere, or --no-switch to do without a phone system."
        )
    return command_line(root, program, *arguments)
