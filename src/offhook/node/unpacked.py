"""Programs that set-up has unpacked into folders of their own: where these are, and how what is in them is run."""

from __future__ import annotations

import sys
from pathlib import Path


def unpacked_folder(name: str) -> Path:
    """Where set-up unpacks it: beside the programs of this virtual environment."""
    return Path(sys.prefix) / "share" / "offhook" / name


def command_line(root: Path, program: str, *arguments: str) -> list[str]:
    """The command line of a program at `root`, run by the loader and with the libraries that came with it, if any."""
    binary = root / program
    loader = next(iter(sorted(root.rglob("ld-linux*.so.*"))), None)
    if loader is None:
        return [str(binary), *arguments]
    folders = [
        path for top in ("usr/lib", "lib") for path in sorted((root / top).glob("*-linux-gnu*")) if path.is_dir()
    ]
    # PulseAudio's library looks for its other half in the system's folder only.
    parts = [path for folder in folders if (path := folder / "pulseaudio").is_dir()]
    libraries = ":".join(str(path) for path in (*folders, root / "usr/lib", *parts))
    return [str(loader), "--library-path", libraries, str(binary), *arguments]
