"""What `offhook serve` prints: the first customer's credentials, what it waits for, and that it is ready."""

from __future__ import annotations

import sys

from offhook import __version__
from offhook.accounts.accounts import Credentials
from offhook.app import Opened
from offhook.folder import DataFolder, write_private

_CREDENTIALS_FILE = "first-credentials.txt"


def show_credentials(folder: DataFolder, credentials: Credentials) -> None:
    """Once, to a person; where nobody looks on, into a file that only the owner can read."""
    text = (
        "Your first customer. Keep this: it is shown only once.\n\n"
        f"  username        {credentials.username}\n"
        f"  password        {credentials.password}\n"
        f"  access key      {credentials.access_key}\n"
        f"  webhook secret  {credentials.webhook_secret}\n"
        f"  customer id     {credentials.customer_id}\n"
    )
    if sys.stdout.isatty():
        print(f"\n{text}", flush=True)
        return
    file = folder.path / _CREDENTIALS_FILE
    write_private(file, text.encode())
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
