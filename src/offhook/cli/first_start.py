"""What `offhook serve` prints: the first customer's credentials, what it waits for, and that it is ready."""

from __future__ import annotations

import sys

from offhook import __version__
from offhook.accounts.accounts import Credentials
from offhook.app import Opened
from offhook.folder import DataFolder, Profile, write_private

_CREDENTIALS_FILE = "first-credentials.txt"


def keep_credentials(folder: DataFolder, profile: Profile, credentials: Credentials) -> None:
    """So that the command line can use them; and, where nobody looks on, in a file that only the owner can read."""
    folder.write_profile(profile)
    if not sys.stdout.isatty():
        write_private(folder.path / _CREDENTIALS_FILE, _text(credentials).encode())


def show_credentials(folder: DataFolder, credentials: Credentials) -> None:
    """Once, to a person; where nobody looks on, say where they are."""
    if sys.stdout.isatty():
        print(f"\n{_text(credentials)}", flush=True)
        return
    file = folder.path / _CREDENTIALS_FILE
    print(f"The first customer's credentials are in {file} (readable by you only).", flush=True)


def show_waiting(missing: list[str]) -> None:
    """The start takes a while."""
    print(f"Not ready yet. Waiting for: {', '.join(missing)}. The log says more.", flush=True)


def show_ready(opened: Opened) -> None:
    """Everything is there."""
    print(f"Offhook {__version__} is ready. API and documentation: {opened.url}/docs", flush=True)
    if opened.sip:
        print(f"Dial any number at {opened.sip}, for example sip:+15559876543@{opened.sip}", flush=True)
    if opened.allows_loopback:
        print("Webhooks to loopback addresses are allowed, as this server listens on loopback only.", flush=True)
    print("Ctrl-C stops it once attempts under way have ended.", flush=True)


def _text(credentials: Credentials) -> str:
    return (
        "Your first customer. Keep this: it is shown only once.\n\n"
        f"  username        {credentials.username}\n"
        f"  password        {credentials.password}\n"
        f"  access key      {credentials.access_key}\n"
        f"  webhook secret  {credentials.webhook_secret}\n"
        f"  customer id     {credentials.customer_id}\n"
    )
