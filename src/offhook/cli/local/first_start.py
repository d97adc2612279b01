"""What `offhook serve` prints: what it waits for, that it is ready, and last the first customer's credentials.

Theory of operation. The credentials are shown once, and after everything that a start has to say, so that they stand at
the end of the terminal. From before they count until a person has been shown them they are also in a file that only the
owner can read: whatever ends the start, they are not lost. Where nobody looks on, or where the start was killed, they
stay there, and every later start says so.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from offhook import __version__
from offhook.accounts.first_customer import Credentials
from offhook.app import Opened
from offhook.folder import DataFolder, Profile, write_private

log = structlog.get_logger()

_CREDENTIALS_FILE = "first-credentials.txt"


class FirstStart:
    """The first customer's credentials, from their making until they are shown. A later start has none."""

    def __init__(self, folder: DataFolder, profile_of: Callable[[Credentials], Profile]) -> None:
        self._folder = folder
        self._profile_of = profile_of
        self._made: Credentials | None = None

    @property
    def _file(self) -> Path:
        return self._folder.path / _CREDENTIALS_FILE

    def keep(self, credentials: Credentials) -> None:
        """They are about to count: the command line can use them, and they are in the file."""
        self._folder.write_profile(self._profile_of(credentials))
        write_private(self._file, _text(credentials).encode())

    def note(self, credentials: Credentials) -> None:
        """They count."""
        self._made = credentials

    def remind(self) -> None:
        """At a later start, say that they are still in the file; there are customers."""
        if self._made is None and self._file.exists():
            _say(f"The first customer's credentials are in {self._file}. Keep them and delete the file.")
            log.info("start.credentials_left", file=str(self._file))

    def show(self) -> None:
        """Once, to a person; where nobody looks on, say where they are. May be called again, and without any."""
        made, self._made = self._made, None
        if made is None:
            return
        if not _somebody_looks_on():
            _say(f"The first customer's credentials are in {self._file} (readable by you only).")
        elif _say(f"\nYour first customer. Keep this: it is shown only once.\n\n{_text(made)}"):
            with contextlib.suppress(OSError):
                self._file.unlink()


def show_waiting(missing: list[str]) -> None:
    """The start takes a while."""
    _say(f"Not ready yet. Waiting for: {', '.join(missing)}. The log says more.")


def show_ready(opened: Opened) -> None:
    """Everything is there."""
    _say(f"Offhook {__version__} is ready. API and documentation: {opened.url}/docs")
    if opened.sip and opened.number:
        _say(f"Dial {opened.number} at {opened.sip}: sip:{opened.number}@{opened.sip}")
    elif opened.sip:
        _say(f"Phones may call at {opened.sip}. No number takes calls yet: POST /v1.0/numbers makes one.")
    if opened.allows_loopback:
        _say("Webhooks may go to loopback addresses, as it listens on loopback only.")
    _say("Ctrl-C stops it once attempts under way have ended.")


def _somebody_looks_on() -> bool:
    # There is no standard output where it was closed.
    return sys.stdout is not None and sys.stdout.isatty()


def _say(text: str) -> bool:
    """Whether it could be said: a full disk below the log, or a pipe whose reader left, is no reason to end."""
    try:
        print(text, flush=True)
    except OSError:
        return False
    return True


def _text(credentials: Credentials) -> str:
    return (
        f"  username        {credentials.username}\n"
        f"  password        {credentials.password}\n"
        f"  access key      {credentials.access_key}\n"
        f"  webhook secret  {credentials.webhook_secret}\n"
        f"  customer id     {credentials.customer_id}\n"
    )
