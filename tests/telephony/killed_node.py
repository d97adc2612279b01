"""A node that ends itself by SIGKILL around a command: the program of `test_kills`.

    python -m tests.telephony.killed_node DATABASE ENDPOINT KIND PLACE REQUESTS

`ENDPOINT` is JSON, `KIND` a command's, `PLACE` one of `PLACES`; each request to Asterisk is a line in `REQUESTS`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from yarl import URL

from offhook.domain.step import Outcome
from offhook.domain.switch.commands import SwitchCommand
from offhook.store.commit.committed import Committed
from offhook.store.store import Store
from offhook.switch.asterisk.ari import AriAnswer, AriClient, AriEndpoint
from offhook.switch.asterisk.switch import AsteriskSwitch
from tests.telephony.conftest import Node, running_node

PLACES = ("ordered", "begun", "sent")
"""The command is committed; it is about to be sent (a mark is committed); it was answered, and nobody knows it."""

BY_US = ("HangUp", "DestroyBridge")
"""What comes about by our hanging up."""


def note_requests(file: Path) -> None:
    """Write every request to Asterisk down, from now on."""
    whole = AriClient._send

    async def send(self: AriClient, method: str, url: URL, query: Mapping[str, str], body: Any) -> AriAnswer:
        with file.open("a") as lines:
            lines.write(f"{method} {url.path}\n")
        return await whole(self, method, url, query, body)

    AriClient._send = send  # type: ignore[method-assign]


def kill_around(store: Store, kind: str, place: str) -> None:
    """End this process at that place of the first command of that kind."""
    if place == "ordered":
        store.subscribe(lambda committed: _look(committed, kind))
    else:
        _kill_around_sending(kind, place)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_around_sending(kind: str, place: str) -> None:
    whole = AsteriskSwitch.carry_out

    async def carry_out(self: AsteriskSwitch, command: SwitchCommand) -> Outcome:
        is_meant = type(command).__name__ == kind
        if is_meant and place == "begun":
            _kill()
        outcome = await whole(self, command)
        if is_meant:
            _kill()
        return outcome

    AsteriskSwitch.carry_out = carry_out  # type: ignore[method-assign]


async def _main(database: str, endpoint: str, kind: str, place: str, requests: str) -> None:
    note_requests(Path(requests))
    async with running_node(Path(database), msgspec.json.decode(endpoint, type=AriEndpoint)) as node:
        kill_around(node.store, kind, place)
        print("ready", flush=True)
        if kind in BY_US:
            await _hang_up(node)
        await asyncio.sleep(60)


async def _hang_up(node: Node) -> None:
    await node.saw("call_updated", 2)
    # Not before the echo is there: what belongs to it has to be ended too.
    await asyncio.sleep(0.5)
    await node.calls.hang_up(node.customer_id, node.last("call_created")["id"])


def _look(committed: Committed, kind: str) -> None:
    if any(type(order.pending.command).__name__ == kind for order in committed.orders):
        _kill()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_main(*sys.argv[1:]))
