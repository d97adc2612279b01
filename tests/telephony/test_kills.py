"""kill -9 around every kind of command of a call, on a real Asterisk with a real phone."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from offhook.domain.switch.commands import (
    ECHO,
    DestroyBridge,
    Find,
    Record,
    RemoveFromBridge,
    Snoop,
    StopPlayback,
    StopRecording,
)
from offhook.store.queries.events import list_events
from offhook.store.store import Store
from offhook.switch.asterisk.ari import AriClient
from tests.rounds import IS_LONG
from tests.sipp.ear import listening
from tests.sipp.phone import called_phone, phone
from tests.sipp.switches import SharedAsterisk, eventually
from tests.telephony.conftest import Node, running_node
from tests.telephony.killed_node import BY_US, PLACES, note_requests
from tests.telephony.leg import leg_node
from tests.telephony.test_real_calls import ANSWERED, WHOLE_FLOW, nothing_left

KINDS = (
    *("Follow", "Ring", "Answer", "Play", "CreateBridge", "Create", "AddToBridge", "Dial"),
    *("HangUp", "DestroyBridge"),
)
ROOT = Path(__file__).parents[2]
# Create, Dial, and what a leg is commanded then.
ERRAND_COUNT = 12
# For a process to start, and to end.
PATIENCE_S = 90
# Longer than the greeting.
PROMPT_S = 2.5


@contextlib.asynccontextmanager
async def dying(module: str, asterisk: SharedAsterisk, folder: Path, *how: str) -> AsyncIterator[Process]:
    """A node that kills itself around the first command of some kind, and has by the end."""
    endpoint = msgspec.json.encode(asterisk.endpoint).decode()
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.telephony.{module}", str(folder / "db"), endpoint, *how),
        str(folder / "requests"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield killed
    finally:
        if killed.returncode is None:
            killed.kill()
            await killed.wait()


async def has_killed_itself(killed: Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        assert await killed.wait() == -9


def check_done_once(folder: Path, *, at_least: int = 1) -> None:
    """Neither a prompt nor a phone was asked for twice, whoever did it; so many were asked for."""
    requests = Counter((folder / "requests").read_text().splitlines())
    asked = {
        request: count
        for request, count in requests.items()
        if request.startswith("POST") and ("/play/" in request or request.endswith("/dial"))
    }
    assert len(asked) >= at_least, requests
    assert set(asked.values()) <= {1}, asked


@pytest.mark.parametrize("place", PLACES if IS_LONG else ("sent",))
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_survives_kill_9_around_a_command(
    asterisk: SharedAsterisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    """Each event once and in order, nothing done twice that must not be, nothing left; the caller hears itself."""
    monkeypatch.setattr(AriClient, "_send", AriClient._send)  # puts the real one back
    async with dying("killed_node", asterisk, tmp_path, kind, place) as killed:
        assert killed.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert (await killed.stdout.readline()).strip() == b"ready"
        async with (
            listening() as ear,
            phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
        ):
            await has_killed_itself(killed)
            if kind == "Play":
                await asyncio.sleep(PROMPT_S)  # it is over by the restart
            note_requests(tmp_path / "requests")
            async with running_node(tmp_path / "db", asterisk.endpoint) as node:
                if kind not in BY_US:
                    if (kind, place) != ("Play", "begun"):
                        # Without a greeting nobody knows where to speak to.
                        await ear.says_until_heard()
                    await eventually(lambda: is_echoing(node), "it has come to the echo")
                    (call,) = await node.all_calls()
                    await node.calls.hang_up(node.customer_id, call.id)
                await p.done()
                await eventually(lambda: has_ended(node.store), "the call is over, and nothing of it pending")
                events, _ = await node.store.read(lambda connection: list_events(connection, node.customer_id, after=0))
    by_kind = {name: [event.type for event in events if event.type.startswith(name)] for name in ("call", "active")}
    assert by_kind == {"call": [*ANSWERED, "call_updated", "call_hungup"], "active": WHOLE_FLOW}
    # The prompt and the echo's channel; what was marked and never sent is never sent.
    check_done_once(tmp_path, at_least=1 if place == "begun" and kind in ("Play", "Dial") else 2)
    await nothing_left(asterisk)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["Create", "Dial"])
async def test_a_busy_phone_rings_once_although_the_server_was_killed(
    asterisk: SharedAsterisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    """By the restart its channel is gone: as if it had never been dialled."""
    monkeypatch.setattr(AriClient, "_send", AriClient._send)
    async with called_phone("rings_and_is_busy", tmp_path / "sipp", pause_ms=200) as (p, address):
        async with dying("leg", asterisk, tmp_path, f"PJSIP/local/sip:me@{address}", kind, place) as killed:
            await has_killed_itself(killed)
        has_been_dialled = (kind, place) == ("Dial", "sent")
        if has_been_dialled:
            await p.done()
            await eventually(lambda: is_empty(asterisk), "its channel is gone")
        note_requests(tmp_path / "requests")
        async with leg_node(tmp_path / "db", asterisk.endpoint) as node:
            await eventually(lambda: has_ended(node.store), "the leg is over, or unknown")
            if (kind, place) != ("Dial", "begun"):
                await p.done()
            assert node.leg is not None
            customer_id = node.leg.customer_id
            left = await node.store.read(
                lambda connection: node.store.tables.get(connection, "leg", customer_id, node.leg_id)
            )
    # What is marked and was never sent cannot be told from what was: better not to ring than to ring twice.
    dialled = (
        {"begun": "Dial Unknown", "sent": "Dial Absent"}.get(place, "Dial Done") if kind == "Dial" else "Dial Done"
    )
    assert left.outcomes[:2] == ("Create Done", dialled)
    check_done_once(tmp_path, at_least=0 if (kind, place) == ("Dial", "begun") else 1)
    await nothing_left(asterisk)


@pytest.mark.parametrize("place", PLACES if IS_LONG else ("sent",))
@pytest.mark.parametrize("kind", [StopPlayback, Find, RemoveFromBridge, DestroyBridge, Snoop, Record, StopRecording])
async def test_what_calls_do_not_command_yet_survives_kill_9_too(
    asterisk: SharedAsterisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, place: str
) -> None:
    monkeypatch.setattr(AriClient, "_send", AriClient._send)
    async with dying("leg", asterisk, tmp_path, ECHO, kind.__name__, place) as killed:
        await has_killed_itself(killed)
    note_requests(tmp_path / "requests")
    async with leg_node(tmp_path / "db", asterisk.endpoint) as node:
        assert node.leg is not None
        customer_id = node.leg.customer_id
        await eventually(lambda: has_ended(node.store), "the leg is over, and nothing of it pending")
        left = await node.store.read(
            lambda connection: node.store.tables.get(connection, "leg", customer_id, node.leg_id)
        )
    # What was ended, or found, may be gone by the second time. A snoop is looked for and never made twice.
    absent = {StopPlayback, RemoveFromBridge, DestroyBridge}
    name = "Unknown" if kind is Snoop and place != "sent" else "Done"
    told = [outcome for outcome in left.outcomes if outcome.startswith(f"{kind.__name__} ")]
    assert told in ([f"{kind.__name__} {name}"], *([f"{one.__name__} Absent"] for one in absent if one is kind))
    assert len([outcome for outcome in left.outcomes if not outcome.startswith("HangUp")]) == ERRAND_COUNT
    check_done_once(tmp_path)
    await nothing_left(asterisk)


async def is_echoing(node: Node) -> bool:
    (row,) = [row for row in await node.store.read(node.store.tables.open) if row.kind == "call"]
    return not row.document.pending and getattr(row.document.state.work, "stage", "") == "echoing"


async def is_empty(asterisk: SharedAsterisk) -> bool:
    async with AriClient(asterisk.endpoint) as ari:
        return not await ari.get("channels")


async def has_ended(store: Store) -> bool:
    return not await store.read(store.tables.open)
