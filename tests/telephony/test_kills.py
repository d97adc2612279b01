"""kill -9 around every kind of command of a call, on a real Asterisk with a real phone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from offhook.store.events import list_events
from offhook.switch.asterisk.ari import AriClient
from tests.sipp.ear import listening
from tests.sipp.phone import phone
from tests.sipp.switches import SharedAsterisk, eventually
from tests.telephony.conftest import Node, running_node
from tests.telephony.killed_node import BY_US, PLACES, note_requests
from tests.telephony.test_real_calls import ANSWERED, WHOLE_FLOW, nothing_left

KINDS = (
    *("Follow", "Ring", "Answer", "Play", "CreateBridge", "Create", "AddToBridge", "Dial"),
    *("HangUp", "DestroyBridge"),
)
IS_LONG = int(os.environ.get("OFFHOOK_TEST_ROUNDS", "2")) > 2
ROOT = Path(__file__).parents[2]
# Longer than the greeting.
PROMPT_S = 2.5


async def die_around(asterisk: SharedAsterisk, folder: Path, kind: str, place: str) -> asyncio.subprocess.Process:
    """A node that is connected and kills itself around the first command of that kind."""
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.telephony.killed_node", str(folder / "db")),
        *(msgspec.json.encode(asterisk.endpoint).decode(), kind, place, str(folder / "requests")),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert killed.stdout is not None
    async with asyncio.timeout(30):
        assert (await killed.stdout.readline()).strip() == b"ready"
    return killed


@pytest.mark.parametrize("place", PLACES if IS_LONG else ("sent",))
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_survives_kill_9_around_a_command(
    asterisk: SharedAsterisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    """Each event once and in order, nothing done twice that must not be, nothing left; the caller hears itself."""
    monkeypatch.setattr(AriClient, "_request", AriClient._request)  # puts the real one back
    killed = await die_around(asterisk, tmp_path, kind, place)
    try:
        async with (
            listening() as ear,
            phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
        ):
            async with asyncio.timeout(30):
                assert await killed.wait() == -9
            if kind == "Play":
                await asyncio.sleep(PROMPT_S)  # it is over by the restart
            note_requests(tmp_path / "requests")
            async with running_node(tmp_path / "db", asterisk.endpoint) as node:
                if kind not in BY_US:
                    await ear.says_until_heard()
                    (call,) = await node.all_calls()
                    await node.calls.hang_up(node.customer_id, call.id)
                await p.done()
                await eventually(lambda: has_ended(node), "the call is over, and nothing of it pending")
                events = await node.store.read(lambda connection: list_events(connection, node.customer_id, after=0))
    finally:
        if killed.returncode is None:
            killed.kill()
            await killed.wait()
    by_kind = {name: [event.type for event in events[0] if event.type.startswith(name)] for name in ("call", "active")}
    assert by_kind == {"call": [*ANSWERED, "call_updated", "call_hungup"], "active": WHOLE_FLOW}
    sent = Counter((tmp_path / "requests").read_text().splitlines())
    for request, count in sent.items():
        if request.startswith("POST") and ("/play/" in request or request.endswith("/dial")):
            assert count == 1, request
    await nothing_left(asterisk)


async def has_ended(node: Node) -> bool:
    return not await node.store.read(node.store.tables.open)
