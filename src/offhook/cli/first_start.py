"""What `offhook serve` prints: the first customer's credentials, what it waits for, and that it is ready."""

from __future__ import annotations

import contextlib
import sys

from offhook import __version__
from offhook.accounts.accounts import Credentials
from offhook.app import Opened
from offhook.folder import DataFolder, Profile, write_private

_CREDENTIALS_FILE = "first-credentials.txt"


def keep_credentials(folder: DataFolder, profile: Profile, credentials: Credentials) -> None:
    """So that the command line can use them; and, where nobody looks on, in a file that only the owner can read."""
    folder.write_profile(profile)
    if not _somebody_looks_on():
        write_private(folder.path / _CREDENTIALS_FILE, _text(credentials).encode())


def show_credentials(folder: DataFolder, credentials: Credentials) -> None:
    """Once, to a person; where nobody looks on, say where they are."""
    if _somebody_looks_on():
        _say(f"\n{_text(credentials)}")
        return
    file = folder.path / _CREDENTIALS_FILE
    _say(f"The first customer's credentials are in {file} (readable by you only).")


def show_waiting(missing: list[str]) -> None:
    """The start takes a while."""
    _say(f"Not ready yet. Waiting for: {', '.join(missing)}. The log says more.")


def show_ready(opened: Opened) -> None:
    """Everything is there."""
    _say(f"Offhook {__version__} is ready. API and documentation: {opened.url}/docs")
    if opened.sip:
        _say(f"Dial any number at {opened.sip}, for example sip:+15559876543@{opened.sip}")
    if opened.allows_loopback:
        _say("Webhooks to loopback addresses are allowed, as this server listens on loopback only.")
    _say("Ctrl-C stops it once attempts under way have ended.")


def _somebody_looks_on() -> bool:
    # There is no standard output where it was closed.
    return sys.stdout is not None and sys.stdout.isatty()


def _say(text: str) -> None:
    # A full disk below the log, or a pipe whose reader left, is no reason to end.
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _text(credentials: Credentials) -> str:
    return (
        "Your first customer. Keep this: it is shown only once.\n\n"
        f"  username        {credentials.username}\n"
        f"  password        {credentials.password}\n"
        f"  access key      {credentials.access_key}\n"
        f"  webhook secret  {credentials.webhook_secret}\n"
        f"  customer id     {credentials.customer_id}\n"
    )
