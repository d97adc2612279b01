"""What was spoken before: a folder of sound files that is bounded by size.

Theory of operation. A file is dropped when room is needed, the least recently used first, but never before it can have
been heard to its end: so long it is in use after somebody last asked for it. If nothing can be dropped there is no
room. When a file was last used is its time of change, so that a restart knows it too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

# How long after a file was asked for its playback has begun, at the latest; and what a second of it takes.
_BEGINS_WITHIN_S = 300
_BYTES_A_SECOND = 16_000
_MADE, _UNFINISHED = ".wav", ".part"


class _Kept(msgspec.Struct, frozen=True):
    size: int
    used_at: float

    @property
    def is_in_use_until(self) -> float:
        """When it has been heard."""
        return self.used_at + self.size / _BYTES_A_SECOND + _BEGINS_WITHIN_S


class SpeechCache:
    """`folder` belongs to this process. `clock` tells the time of files, in seconds since 1970."""

    def __init__(self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def open(self) -> None:
        """Make the folder, and see what it holds. What was not finished goes."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in self._folder.glob(f"*{_UNFINISHED}"):
            file.unlink()
        for file in self._folder.glob(f"*{_MADE}"):
            stat = file.stat()
            self._kept[file.stem] = _Kept(stat.st_size, stat.st_mtime)

    @property
    def size_bytes(self) -> int:
        """What all files take."""
        return sum(one.size for one in self._kept.values())

    def find(self, key: str) -> Path | None:
        """The file of that name; it is in use from now on."""
        one = self._kept.get(key)
        if one is None:
            return None
        try:
            return self._use(key, one.size)
        except FileNotFoundError:  # somebody has tidied up
            del self._kept[key]
            return None

    def unfinished(self, key: str) -> Path:
        """Where a file of that name is made."""
        return self._folder / f"{key}{_UNFINISHED}"

    def keep(self, key: str) -> Path | None:
        """Take over what was made, dropping others where there is no room. None if there is no room all the same."""
        unfinished = self.unfinished(key)
        size = unfinished.stat().st_size
        if not self._make_room(size):
            unfinished.unlink()
            return None
        unfinished.replace(self._path(key))
        return self._use(key, size)

    def discard(self, key: str) -> None:
        """Nothing came of what was to be made."""
        self.unfinished(key).unlink(missing_ok=True)

    def _use(self, key: str, size: int) -> Path:
        path, now = self._path(key), self._clock()
        os.utime(path, (now, now))
        self._kept[key] = _Kept(size, now)
        return path

    def _make_room(self, size: int) -> bool:
        now, present = self._clock(), self.size_bytes
        for key, one in sorted(self._kept.items(), key=lambda item: item[1].used_at):
            if present + size <= self._max_bytes:
                break
            if one.is_in_use_until < now:
                self._path(key).unlink(missing_ok=True)
                del self._kept[key]
                present -= one.size
        return present + size <= self._max_bytes

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_MADE}"
