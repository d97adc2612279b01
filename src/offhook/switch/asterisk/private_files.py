"""Files in the private folder of an Asterisk of our own: secrets, what it is told, and logs that stay small."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

import structlog

_MAX_LOG_BYTES = 10 * 1024 * 1024

log = structlog.get_logger()


def secret_in(path: Path) -> str:
    """The secret that is kept there; a new one at the first time."""
    try:
        return path.read_text()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_private(path, secret.encode())
        return secret


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only we may read, whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)


def bound_log(path: Path) -> None:
    """Keep one file of what was logged before, if it is much. What is written while it is copied may be lost."""
    if not path.exists() or path.stat().st_size <= _MAX_LOG_BYTES:
        return
    try:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
    except OSError as error:
        # The disk is full, perhaps: all the more reason to empty it.
        log.warning("asterisk.log_lost", file=path.name, error=error.strerror)
    with contextlib.suppress(FileNotFoundError):  # somebody else tidied up
        os.truncate(path, 0)
