"""The database is away in the middle of a call: what happens meanwhile is told afterwards, in order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from structlog.testing import capture_logs

from tests.postgres import Postgres
from tests.sipp.ear import listening
from tests.sipp.phone import phone
from tests.sipp.switches import SharedAsterisk, eventually
from tests.telephony.conftest import running_node
from tests.telephony.test_real_calls import ANSWERED, WHOLE_FLOW, nothing_left

AWAY_S = 5


async def test_a_call_goes_on_when_the_database_is_back(
    asterisk: SharedAsterisk, tmp_path: Path, postgres: Postgres
) -> None:
    """It was just answered: nothing more is commanded before that is committed."""
    async with (
        listening() as ear,
        running_node(postgres.migrated_database(), asterisk.endpoint) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        await node.saw("call_ringing")
        postgres.stop()
        await asyncio.sleep(AWAY_S)
        assert node.types() == ANSWERED[:2]
        postgres.start()
        await node.saw("call_updated", 2, timeout_s=30)
        await ear.says_until_heard()
        (call,) = await node.all_calls()
        await node.calls.hang_up(node.customer_id, call.id)
        await p.done()
        await node.saw("call_hungup")
        assert node.types() == [*ANSWERED, "call_updated", "call_hungup"]
        assert node.flow_types() == WHOLE_FLOW
    await nothing_left(asterisk)


async def test_a_call_that_ends_meanwhile_has_its_end_and_its_moment(
    asterisk: SharedAsterisk, tmp_path: Path, postgres: Postgres
) -> None:
    async with running_node(postgres.migrated_database(), asterisk.endpoint) as node:
        async with phone("caller_hangs_up", asterisk.sip, tmp_path / "sipp", pause_ms=2500) as p:
            await node.saw("call_updated")
            postgres.stop()
            await p.done()
            ended_at = datetime.now(UTC)
            await asyncio.sleep(AWAY_S)
        postgres.start()
        hungup = await node.saw("call_hungup", timeout_s=30)
        assert node.types()[:4] == ANSWERED[:4]
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("remote", "normal")
        # When it was heard, not when it could be written.
        hungup_at = datetime.fromisoformat(hungup["tm_hangup"])
        assert hungup_at - datetime.fromisoformat(hungup["tm_progressing"]) > timedelta(seconds=2)
        assert hungup_at < ended_at + timedelta(seconds=AWAY_S / 2)
        await eventually(lambda: node.flow_types()[-1] == "activeflow_deleted", "its flow has ended")
    await nothing_left(asterisk)


async def test_a_caller_who_comes_meanwhile_is_turned_away_which_is_no_fault(
    asterisk: SharedAsterisk, tmp_path: Path, postgres: Postgres
) -> None:
    with capture_logs() as logs:
        async with running_node(postgres.migrated_database(), asterisk.endpoint) as node:
            postgres.stop()
            try:
                await eventually(lambda: node.store.is_away, "it notices")
                async with phone("refused_503", asterisk.sip, tmp_path / "sipp") as p:
                    await p.done()
            finally:
                postgres.start()
            await eventually(lambda: not node.store.is_away, "it is back")
    assert [line["dialled"] for line in logs if line["event"] == "call.refused"]
    assert [line for line in logs if "exc_info" in line] == []
