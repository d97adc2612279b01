"""Dial the running Offhook once with SIPp, and show the call's events as they come: `make call`.

    scripts/call.py [--data FOLDER] [--talk SECONDS] [HOST:PORT [NUMBER]]

It ends when the call is over and its last event has been shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from offhook.cli.remote.following import EventLines, LogReader
from offhook.cli.remote.server import Server
from offhook.domain.errors import OffhookError
from offhook.domain.telephony.number import digits_of

SIPP = Path(sys.prefix) / "share" / "offhook" / "tools" / "bin" / "sipp"
SCENARIO = Path(__file__).with_name("call.xml")
_LOOK_S = 0.2
# Between two pages of what is there already.
_BREATH_S = 0.02
# So long for the first event of a call that is dialled, and for the last ones of one that was hung up.
_PATIENCE_S = 10.0


class CallError(Exception):
    """The call came to nothing: why, for a person."""


class OneCall:
    """Which events of the log are the call's: its own, and those of the flow that it runs."""

    def __init__(self, number: str) -> None:
        self._number = number
        self._subjects: set[str] = set()
        self._left: set[str] = set()
        self.reason = ""

    @property
    def has_begun(self) -> bool:
        """Whether it has arrived."""
        return bool(self._subjects)

    @property
    def is_over(self) -> bool:
        """Whether its last event, and its flow's, have been told."""
        return self.has_begun and not self._left

    def takes(self, event: dict[str, Any]) -> bool:
        """Whether this is one of its events."""
        data = event["data"]
        # An event of this type may have been published by anybody, with any data.
        if event["type"] == "call_created" and not self.has_begun and _is_to(self._number, data):
            self._subjects = {event["subject"], f"activeflow/{data.get('activeflow_id')}"}
            self._left = set(self._subjects)
        if event["subject"] not in self._subjects:
            return False
        if event["type"] in ("call_hungup", "activeflow_deleted"):
            self._left.discard(event["subject"])
            self.reason = data.get("hangup_reason") or self.reason
        return True


def _is_to(number: str, data: dict[str, Any]) -> bool:
    """Events show a number as it is kept, however it was dialled."""
    destination = data.get("destination")
    target = destination.get("target") if isinstance(destination, dict) else None
    return isinstance(target, str) and (digits_of(target) or target) == (digits_of(number) or number)


def call(server: Server, sip: str, number: str, talk_s: float) -> str:
    """Dial, talk, hang up; show what happens. The reason for which it ended. Raises CallError, OffhookError."""
    reader = LogReader(server, {})
    print(f"Dialling {number} at {sip}, to hang up after {talk_s:g} seconds.", flush=True)
    phone = subprocess.Popen(  # noqa: S603 - what a person asked for
        [
            *(str(SIPP), "-sf", str(SCENARIO), "-s", number, "-i", "127.0.0.1", "-m", "1"),
            *("-d", str(int(talk_s * 1000)), "-timeout", "60", "-timeout_error", "-nostdin", sip),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    )
    try:
        return _follow(reader, OneCall(number), phone, sip)
    finally:
        phone.kill()
        phone.wait()


def _follow(reader: LogReader, one: OneCall, phone: subprocess.Popen[bytes], sip: str) -> str:
    lines = EventLines()
    patient_until_s = time.monotonic() + _PATIENCE_S
    while not one.is_over:
        shown = [event for event in reader.read() if one.takes(event)]
        for event in shown:
            lines.show(event)
        is_talking = one.has_begun and phone.poll() is None
        # Events of others are no sign of this call, however many there are.
        if is_talking or shown:
            patient_until_s = time.monotonic() + _PATIENCE_S
        elif phone.poll() or time.monotonic() > patient_until_s:
            raise CallError(_failure(one, sip))
        time.sleep(_BREATH_S if reader.has_more else _LOOK_S)
    return one.reason


def _failure(one: OneCall, sip: str) -> str:
    if one.has_begun:
        return "The call broke off. See what the server knows of it:\n  .venv/bin/offhook calls list"
    return (
        f"No call arrived. Does the server take calls at {sip}?\n"
        "It says where when it starts. Call there with: make call SIP=HOST:PORT"
    )


def main() -> int:
    """Call once; the exit code."""
    parser = argparse.ArgumentParser(description="Dial the running Offhook once, and show the call's events.")
    parser.add_argument("sip", nargs="?", default="127.0.0.1:5060", metavar="HOST:PORT")
    parser.add_argument("number", nargs="?", default="+15559876543")
    parser.add_argument("--data", type=Path, default=Path("data"), help="Folder whose profile tells where the API is.")
    parser.add_argument("--talk", type=float, default=8.0, metavar="SECONDS")
    given = parser.parse_args()
    try:
        reason = call(Server.found(given.data), given.sip, given.number, given.talk)
    except (CallError, OffhookError) as error:
        print(f"call: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 1
    print(f"The call is over: {reason}. See where its events went:\n  .venv/bin/offhook deliveries list")
    return 0


if __name__ == "__main__":
    sys.exit(main())
