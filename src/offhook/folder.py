"""The data folder: one running server at a time, and the files that keep what a person is shown once."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from offhook.domain.errors import MisconfiguredError


class Profile(msgspec.Struct, frozen=True):
    """How the command line reaches this server: base URL and access key."""

    url: str
    access_key: str


class DataFolder:
    """A folder that belongs to this process while it is open.

    Entering makes the folder (mode 0700) and locks it. Raises MisconfiguredError if another process has it, or if it
    cannot be written. The lock goes with the process, however it ends. What this process makes from then on is for
    its owner's eyes only, also in a folder that somebody else made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def __enter__(self) -> DataFolder:
        os.umask(0o077)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise MisconfiguredError(
                f"The data folder {self.path} cannot be written: {error.strerror}. Choose another one with --data.",
                field="data",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise MisconfiguredError(
                    f"The data folder {self.path} cannot be locked: {error.strerror}. Choose one on a local disk with "
                    "--data.",
                    field="data",
                ) from error
            raise MisconfiguredError(
                f"Another offhook already runs on {self.path}. Stop it first, or choose another folder with --data.",
                field="data",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def database(self) -> Path:
        """Where SQLite keeps everything."""
        return self.path / "offhook.db"

    @property
    def profile(self) -> Path:
        """What the command line reads to reach this server."""
        return self.path / "profile.json"

    def check_profile(self) -> None:
        """Whether a profile could be written, before anything is made that it is for. Raises MisconfiguredError."""
        if self.profile.is_dir():
            raise _unwritable(self.profile, os.strerror(errno.EISDIR))
        probe = self.profile.with_name(self.profile.name + ".probe")
        write_private(probe, b"")
        probe.unlink()

    def write_profile(self, profile: Profile) -> None:
        """Keep how to reach this server, for its owner's eyes only."""
        write_private(self.profile, msgspec.json.format(msgspec.json.encode(profile)) + b"\n")

    def renew_profile(self, url: str) -> None:
        """Keep where this server listens now. A profile that is not there, or cannot be read, stays as it is."""
        try:
            present = msgspec.json.decode(self.profile.read_bytes(), type=Profile)
        except (OSError, msgspec.DecodeError):
            return
        if present.url != url:
            self.write_profile(Profile(url, present.access_key))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read (mode 0600), whole or not at all; it survives a power cut.

    Raises MisconfiguredError.
    """
    unfinished = path.with_name(path.name + ".new")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, reason: str | None) -> MisconfiguredError:
    return MisconfiguredError(
        f"The file {path} cannot be written: {reason}. Check the permissions and the disk of its folder.", field="data"
    )
