"""What is heard comes to the calls it is about, whatever else goes on: with a switch that the test plays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from offhook.domain.step import Done, Unavailable
from offhook.domain.switch.commands import HangUp
from offhook.domain.switch.inputs import ChannelArrived, ChannelGone, ChannelRinging
from tests.databases import sqlite_database
from tests.faults.wire import AnswerLosingWire
from tests.postgres import Postgres
from tests.telephony.played import PATIENT, SWITCH, Telephony, caller, telephony, until


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_database(tmp_path / "db")


async def arrives_while_everything_is_read_again(node: Telephony) -> None:
    node.slow_look()
    node.forget_what_was_committed()
    await asyncio.sleep(0.05)
    node.switch.tell(ChannelArrived(caller()))
    await node.saw("call_created")
    await node.looked()


async def test_a_call_that_came_while_everything_was_read_again_is_known_and_its_end_heard(url: str) -> None:
    async with telephony(url) as node:
        await arrives_while_everything_is_read_again(node)
        assert node.calls.live_count == 1
        node.switch.tell(ChannelGone(SWITCH, "c1", 16))
        await node.saw("call_hungup", 2)


async def test_a_call_that_came_while_everything_was_read_again_is_one_after_a_reconnect(url: str) -> None:
    async with telephony(url) as node:
        await arrives_while_everything_is_read_again(node)
        node.switch.lose()
        node.switch.connect(caller())
        before = node.types.count("call_created")
        await node.heard_the_last()
        assert node.types.count("call_created") == before + 1
        assert node.calls.live_count == 1


async def test_a_call_that_ended_while_everything_was_read_again_is_over(url: str) -> None:
    async with telephony(url) as node:
        node.switch.tell(ChannelArrived(caller()))
        await node.saw("call_ringing")
        node.slow_look()
        node.forget_what_was_committed()
        await asyncio.sleep(0.05)
        node.switch.tell(ChannelGone(SWITCH, "c1", 16))
        await node.saw("call_hungup")
        await node.looked()
        assert node.calls.live_count == 0


async def test_lost_commit_answers_leave_no_ghosts(postgres: Postgres) -> None:
    """A group in doubt is run again right after everything came to be unknown."""
    wire = AnswerLosingWire(postgres.port, carried_out=False)
    url = postgres.migrated_database().replace(f":{postgres.port}/", f":{wire.port}/")
    async with telephony(url) as node:
        for number in range(100):
            node.switch.tell(ChannelArrived(caller(f"c{number}")))
        await node.saw("call_ringing", 100, 60)
        wire.losing = True
        for number in range(30):
            node.switch.tell(ChannelGone(SWITCH, f"c{number}", 16))
            await node.saw("call_hungup", number + 1, 30)
        wire.losing = False
        await node.heard_the_last()
        assert wire.lost_count > 3
        assert node.calls.live_count == 70
    wire.close()


async def test_a_stop_refuses_a_caller_who_is_just_being_let_in(url: str) -> None:
    async with telephony(url) as node:
        node.owner_delay_s = 0.3
        node.switch.tell(ChannelArrived(caller()))
        await asyncio.sleep(0.05)
    assert [command.channel_id for command in node.switch.done if isinstance(command, HangUp)] == ["c1"]
    assert node.types == []


async def test_a_stop_waits_for_refusals_under_way(url: str) -> None:
    async with telephony(url, msgspec.structs.replace(PATIENT, max_live_calls=0)) as node:
        node.switch.delay_s = 0.1
        node.switch.tell(ChannelArrived(caller()))
        await asyncio.sleep(0.02)
    assert [command.channel_id for command in node.switch.done] == ["c1"]


async def test_a_refusal_that_did_not_come_through_is_repeated(url: str) -> None:
    async with telephony(url) as node:
        node.takes_calls = False
        answers = iter([Unavailable(), Unavailable()])
        node.switch.answer = lambda _: next(answers, Done())
        node.switch.tell(ChannelArrived(caller()))
        await until(lambda: len(node.switch.done) == 3, "it came through")
        node.switch.tell(ChannelArrived(caller("c2")))
        await until(lambda: node.switch.done[-1].channel_id == "c2", "a later one is refused")
        assert [command.channel_id for command in node.switch.done] == ["c1"] * 3 + ["c2"]


async def test_that_a_callers_channel_rings_does_no_harm(url: str) -> None:
    async with telephony(url) as node:
        node.switch.tell(ChannelArrived(caller()))
        await node.saw("call_ringing")
        node.switch.tell(ChannelRinging(SWITCH, "c1"))
        node.switch.tell(ChannelGone(SWITCH, "c1", 16))
        await node.saw("call_hungup")
        assert node.types == ["call_created", "call_ringing", "call_hungup"]


async def test_a_caller_who_is_let_in_after_the_switch_was_given_up_is_given_up_too(url: str) -> None:
    async with telephony(url, msgspec.structs.replace(PATIENT, lost_after=timedelta(seconds=0.2))) as node:
        node.owner_delay_s = 0.5
        node.switch.tell(ChannelArrived(caller()))
        node.switch.lose()
        await node.saw("call_hungup")
        assert node.types == ["call_created", "call_hungup"]


@pytest.mark.parametrize("is_known_before", [False, True])
async def test_a_call_that_ends_is_in_the_log_once_however_short_it_was(url: str, is_known_before: bool) -> None:
    with capture_logs() as logged:
        async with telephony(url) as node:
            # Told while its number is looked up, the end is committed with the begin.
            node.owner_delay_s = 0.0 if is_known_before else 0.2
            node.switch.tell(ChannelArrived(caller()))
            if is_known_before:
                await node.saw("call_ringing")
            node.switch.tell(ChannelGone(SWITCH, "c1", 16))
            await node.saw("call_hungup")
    assert [line["event"] for line in logged].count("call.ended") == 1


@pytest.mark.parametrize("is_being_committed", [False, True])
async def test_a_caller_who_left_while_the_stream_was_cut_and_his_call_just_being_made_is_gone(
    url: str, is_being_committed: bool
) -> None:
    async with telephony(url) as node:
        node.owner_delay_s = 0.0 if is_being_committed else 0.2
        node.switch.tell(ChannelArrived(caller()))
        await asyncio.sleep(0)
        node.switch.lose()
        node.switch.connect()
        await node.saw("call_hungup", patience_s=5)
        assert node.types[-1] == "call_hungup"
        assert node.calls.live_count == 0


async def test_a_caller_who_was_answered_while_the_stream_was_cut_and_his_call_just_being_made_is_on(url: str) -> None:
    async with telephony(url) as node:
        node.owner_delay_s = 0.2
        node.switch.tell(ChannelArrived(caller()))
        await asyncio.sleep(0)
        node.switch.lose()
        node.switch.connect(msgspec.structs.replace(caller(), is_up=True))
        await node.saw("call_answered", patience_s=5)
        node.switch.tell(ChannelGone(SWITCH, "c1", 16))
        await node.saw("call_hungup")
