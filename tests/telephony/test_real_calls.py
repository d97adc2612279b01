"""SIPp calls a real Asterisk: the events of each call are exactly those that it should have."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from offhook.domain.catalogue.activeflow import Activeflow
from offhook.domain.catalogue.call import Call
from offhook.domain.errors import NotFoundError
from offhook.domain.ids import NIL_UUID, new_uuid
from offhook.flows.greeting import greeting
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.switch.asterisk.ari import AriClient
from offhook.switch.asterisk.switch import NAME as SWITCH
from offhook.telephony.no_switch import NoCalls, end_open_calls
from offhook.telephony.nouns import waits_for
from offhook.telephony.settings import CallSettings
from tests.rounds import IS_LONG
from tests.sipp.ear import listening
from tests.sipp.phone import Phone, phone
from tests.sipp.proxy import Proxy
from tests.sipp.switches import SharedAsterisk, eventually, own_asterisk
from tests.telephony.conftest import PATIENT, Node, die, running_node

ANSWERED = ["call_created", "call_ringing", "call_answered", "call_updated", "call_updated"]
# It rings, is answered, hears the greeting, and then itself.
WHOLE_FLOW = ["activeflow_created", *["activeflow_updated"] * 4, "activeflow_deleted"]


# How often the stream is cut while calls begin and end.
CUTS = 12 if IS_LONG else 4
ECHOES = 20 if IS_LONG else 5


async def nothing_left(asterisk: SharedAsterisk) -> None:
    """No channel and no bridge stays behind."""
    async with AriClient(asterisk.endpoint) as ari:

        async def is_empty() -> bool:
            return not await ari.get("channels") and not await ari.get("bridges")

        await eventually(is_empty, "the switch is empty")


async def test_a_call_is_answered_and_the_caller_hangs_up(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint) as node:
        async with phone(
            "caller_hangs_up", asterisk.sip, tmp_path / "sipp", dialled="+15550100200", pause_ms=2500
        ) as p:
            await node.saw("call_updated", 2)
            await p.done()
        hungup = await node.saw("call_hungup")
        assert node.types() == [*ANSWERED, "call_hungup"]
        shapes = [msgspec.convert(data, Call, strict=True) for _, data in node.events]
        assert [shape.status for shape in shapes] == [
            "dialing", "ringing", "progressing", "progressing", "progressing", "hangup",
        ]  # fmt: skip
        assert [shape.action.type for shape in shapes] == ["", "sleep", "answer", "play", "echo", "echo"]
        last = shapes[-1]
        assert (last.hangup_by, last.hangup_reason) == ("remote", "normal")
        assert (last.source.type, last.source.target, last.source.target_name) == ("tel", "+15550100123", "R. Miller")
        assert (last.destination.type, last.destination.target) == ("tel", "+15550100200")
        assert (last.direction, last.flow_id) == ("incoming", NIL_UUID)
        assert node.flow_types() == node.flow_types(last.activeflow_id) == WHOLE_FLOW
        flows = [msgspec.convert(data, Activeflow, strict=True) for _, data in node.flow_events]
        assert [flow.current_action.type for flow in flows] == ["", "sleep", "answer", "play", "echo", "echo"]
        assert [action.type for action in flows[-1].executed_actions] == ["sleep", "answer", "play", "echo"]
        assert {(flow.reference_type, flow.reference_id) for flow in flows} == {("call", last.id)}
        assert [flow.status for flow in flows] == [*["running"] * 5, "ended"]
        times = [last.tm_create, last.tm_ringing, last.tm_progressing, last.action.tm_execute, last.tm_hangup]
        moments = [datetime.fromisoformat(str(time)) for time in times]
        assert moments == sorted(moments)
        assert timedelta(seconds=0.25) < moments[2] - moments[1] < timedelta(seconds=5)
        assert [msgspec.to_builtins(call) for call in await node.all_calls()] == [hungup]
    await nothing_left(asterisk)


async def test_we_hang_up_an_answered_call(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint) as node:
        async with phone("waits_for_bye", asterisk.sip, tmp_path / "sipp") as p:
            echoing = await node.saw("call_updated", 2)
            call = await node.calls.hang_up(node.customer_id, echoing["id"])
            assert call.status == "terminating"
            await p.done()
        hungup = await node.saw("call_hungup")
        assert node.types() == [*ANSWERED, "call_updated", "call_hungup"]
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("local", "normal")
        again = await node.calls.hang_up(node.customer_id, echoing["id"])
        assert again.status == "hangup"
        for customer_id, call_id in ((node.customer_id, new_uuid()), (new_uuid(), echoing["id"])):
            with pytest.raises(NotFoundError):
                await node.calls.hang_up(customer_id, call_id)
    await nothing_left(asterisk)


async def test_the_caller_cancels_while_it_rings(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint, PATIENT) as node:
        async with phone("cancels_while_ringing", asterisk.sip, tmp_path / "sipp") as p:
            await p.done()
        hungup = await node.saw("call_hungup")
        assert node.types() == ["call_created", "call_ringing", "call_hungup"]
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("remote", "normal")
        assert hungup["tm_progressing"] is None


async def test_we_hang_up_while_it_rings(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint, PATIENT) as node:
        async with phone("refused_603", asterisk.sip, tmp_path / "sipp") as p:
            ringing = await node.saw("call_ringing")
            await node.calls.hang_up(node.customer_id, ringing["id"])
            await p.done()
        hungup = await node.saw("call_hungup")
        assert node.types() == ["call_created", "call_ringing", "call_updated", "call_hungup"]
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("local", "normal")


async def test_a_call_that_nobody_takes_is_refused(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint, takes_calls=False) as node:
        async with phone("refused_404", asterisk.sip, tmp_path / "sipp") as p:
            await p.done()
        assert node.types() == []


async def test_more_callers_than_allowed_are_refused(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    full = CallSettings(max_live_calls=0)
    async with running_node(tmp_path / "db", asterisk.endpoint, settings=full) as node:
        async with phone("refused_503", asterisk.sip, tmp_path / "sipp") as p:
            await p.done()
        assert node.types() == []


async def test_ten_calls_at_once(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint) as node:
        async with phone("caller_hangs_up", asterisk.sip, tmp_path / "sipp", call_count=10, pause_ms=3000) as p:
            await p.done()
        await node.saw("call_hungup", 10)
        calls = await node.all_calls()
        assert len(calls) == 10
        for call in calls:
            assert node.types(call.id) == [*ANSWERED, "call_hungup"]
    await nothing_left(asterisk)


@pytest.mark.parametrize(
    "dialled", ["h", "i", "s", "t", "echo", "a,b;$(1)%22", "*98", "+1-555-0100", "x" * 70, "%0d%0aX"]
)
async def test_any_number_can_be_dialled(asterisk: SharedAsterisk, tmp_path: Path, dialled: str) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint, PATIENT) as node:
        async with phone("cancels_while_ringing", asterisk.sip, tmp_path / "sipp", dialled=dialled, pause_ms=10) as p:
            await p.done()
        await node.saw("call_hungup")
        number = {"+1-555-0100": "+15550100", "%0d%0aX": "X"}.get(dialled, dialled.replace("%22", '"'))
        assert node.last("call_created")["destination"]["target"] == number


@pytest.mark.parametrize(
    "saying",
    [partial(phone, caller_name="caf\udce9"), partial(phone, dialled="caf%E9"), partial(phone, caller="a%E9b")],
    ids=["name", "dialled", "number"],
)
async def test_a_caller_whose_text_is_not_utf_8_is_a_caller_like_any_other(
    asterisk: SharedAsterisk, tmp_path: Path, saying: Callable[..., AbstractAsyncContextManager[Phone]]
) -> None:
    async with running_node(tmp_path / "db", asterisk.endpoint, PATIENT) as node:
        async with saying("cancels_while_ringing", asterisk.sip, tmp_path / "sipp", pause_ms=10) as p:
            await p.done()
        await node.saw("call_hungup")
        assert node.types() == ["call_created", "call_ringing", "call_hungup"]


async def test_what_is_said_comes_back(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with (
        listening() as ear,
        running_node(tmp_path / "db", asterisk.endpoint) as node,
        phone("waits_for_bye", asterisk.sip, tmp_path / "sipp", rtp_port=ear.port) as p,
    ):
        echoing = await node.saw("call_updated", 2)
        await ear.says_until_heard()
        await node.calls.hang_up(node.customer_id, echoing["id"])
        await p.done()


async def test_the_echo_follows_the_greeting_at_once_in_each_of_several_calls(
    asterisk: SharedAsterisk, tmp_path: Path
) -> None:
    """The fault was two seconds; measured are 65 to 100 ms, and three times that beside other tests."""
    gaps_s = []
    async with running_node(tmp_path / "db", asterisk.endpoint) as node:
        for number in range(ECHOES):
            async with (
                listening() as ear,
                phone("waits_for_bye", asterisk.sip, tmp_path / f"{number}", rtp_port=ear.port) as p,
            ):
                await ear.says_until_heard()
                heard = datetime.now(UTC)
                echoing = await node.saw("call_updated", 2 * (number + 1) + number)
                gaps_s.append((heard - datetime.fromisoformat(echoing["action"]["tm_execute"])).total_seconds())
                await node.calls.hang_up(node.customer_id, echoing["id"])
                await p.done()
                await node.saw("call_hungup", number + 1)
    print(f"from the greeting's end to the own voice: at most {max(gaps_s) * 1000:.0f} ms")
    assert max(gaps_s) < 1


async def test_without_a_server_callers_hear_503(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with phone("refused_503", asterisk.sip, tmp_path / "before") as p:
        await p.done()
    async with running_node(tmp_path / "db", asterisk.endpoint):
        pass
    async with phone("refused_503", asterisk.sip, tmp_path / "after") as p:
        await p.done()


async def test_a_server_without_a_switch_ends_the_calls_of_before(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with AsyncExitStack() as phones:
        async with running_node(tmp_path / "db", asterisk.endpoint) as before:
            p = await phones.enter_async_context(phone("waits_for_bye", asterisk.sip, tmp_path / "sipp"))
            await before.saw("call_updated", 2)
            await die(before)
            await end_open_calls(before.store)
            hungup = await before.saw("call_hungup")
            assert hungup["hangup_reason"] == "failed"
            await end_open_calls(before.store)
            assert before.types() == [*ANSWERED, "call_hungup"]
            # Asked for, it is over, and one that never was is not there: as with a phone system.
            runner = await before.running.add(Runner(before.store))
            without = NoCalls(runner, Lanes(before.store, runner), Timers(before.store, runner, waits_for), SWITCH)
            assert (await without.hang_up(before.customer_id, hungup["id"])).status == "hangup"
            with pytest.raises(NotFoundError):
                await without.hang_up(before.customer_id, new_uuid())
        async with running_node(tmp_path / "db", asterisk.endpoint):
            await p.done()


async def test_a_greeting_that_does_not_exist_and_no_ringing(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    hasty = greeting(timedelta(0), "no-such-sound")
    async with running_node(tmp_path / "db", asterisk.endpoint, hasty) as node:
        async with phone("caller_hangs_up", asterisk.sip, tmp_path / "sipp", pause_ms=500) as p:
            await p.done()
        await node.saw("call_hungup")
        assert node.types() == [*ANSWERED, "call_hungup"]


async def test_a_graceful_stop_ends_calls(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with AsyncExitStack() as phones:
        async with running_node(tmp_path / "db", asterisk.endpoint) as node:
            p = await phones.enter_async_context(phone("waits_for_bye", asterisk.sip, tmp_path / "sipp"))
            await node.saw("call_updated", 2)
        assert node.types() == [*ANSWERED, "call_updated", "call_hungup"]
        assert node.last("call_hungup")["hangup_by"] == "local"
        await p.done()


async def test_a_killed_server_goes_on_with_a_call_that_lives(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    async with AsyncExitStack() as phones:
        long = greeting(timedelta(seconds=3), "hello-world")
        async with running_node(tmp_path / "db", asterisk.endpoint, long) as before:
            p = await phones.enter_async_context(phone("waits_for_bye", asterisk.sip, tmp_path / "sipp"))
            await before.saw("call_ringing")
            await die(before)
        async with running_node(tmp_path / "db", asterisk.endpoint) as after:
            echoing = await after.saw("call_updated", 2)
            assert after.types() == ["call_answered", "call_updated", "call_updated"]
            assert echoing["id"] == before.last("call_created")["id"]
            await die(after)
        async with running_node(tmp_path / "db", asterisk.endpoint) as third:
            await third.calls.hang_up(third.customer_id, echoing["id"])
            await third.saw("call_hungup")
            await p.done()
            assert third.types() == ["call_updated", "call_hungup"]
    await nothing_left(asterisk)


async def test_a_call_that_ended_while_the_server_was_dead_gets_its_hungup(
    asterisk: SharedAsterisk, tmp_path: Path
) -> None:
    async with AsyncExitStack() as phones:
        async with running_node(tmp_path / "db", asterisk.endpoint) as before:
            calling = phone("caller_hangs_up", asterisk.sip, tmp_path / "sipp", pause_ms=800)
            p = await phones.enter_async_context(calling)
            await before.saw("call_answered")
            await die(before)
        await p.done()
    async with running_node(tmp_path / "db", asterisk.endpoint) as after:
        hungup = await after.saw("call_hungup")
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("remote", "normal")
    async with running_node(tmp_path / "db", asterisk.endpoint) as later:
        assert later.types() == []


@pytest.mark.parametrize("count", range(1, 6))
async def test_whenever_the_server_is_killed_each_event_comes_once(
    asterisk: SharedAsterisk, tmp_path: Path, count: int
) -> None:
    async with AsyncExitStack() as phones:
        async with running_node(tmp_path / "db", asterisk.endpoint) as before:
            p = await phones.enter_async_context(phone("waits_for_bye", asterisk.sip, tmp_path / "sipp"))
            await eventually(lambda: len(before.events) >= count, f"{count} events")
            await die(before)
        async with running_node(tmp_path / "db", asterisk.endpoint) as after:
            await eventually(lambda: [*before.types(), *after.types()] == ANSWERED, "it goes on where it was")
            await after.calls.hang_up(after.customer_id, before.last("call_created")["id"])
            await p.done()
            await after.saw("call_hungup")
            assert [*before.types(), *after.types()] == [*ANSWERED, "call_updated", "call_hungup"]
    await nothing_left(asterisk)


async def test_a_caller_who_came_just_before_the_server_was_killed_gets_a_call(
    asterisk: SharedAsterisk, tmp_path: Path
) -> None:
    async with AsyncExitStack() as phones:
        # An application that is there, and then dies having written nothing.
        async with AriClient(asterisk.endpoint) as ari, ari.stream() as stream:
            p = await phones.enter_async_context(phone("waits_for_bye", asterisk.sip, tmp_path / "sipp"))
            async for event in stream:
                if b'"StasisStart"' in event:
                    break
        async with running_node(tmp_path / "db", asterisk.endpoint) as node:
            echoing = await node.saw("call_updated", 2)
            assert node.types() == ANSWERED
            await node.calls.hang_up(node.customer_id, echoing["id"])
            await p.done()


async def test_a_call_survives_a_broken_connection_to_the_switch(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    proxy = Proxy(asterisk.endpoint.url)
    await proxy.start()
    async with running_node(tmp_path / "db", proxy.endpoint_for(asterisk.endpoint)) as node:
        async with phone("waits_for_bye", asterisk.sip, tmp_path / "sipp") as p:
            echoing = await node.saw("call_updated", 2)
            proxy.cut()
            await eventually(lambda: not node.switch.is_connected, "the cut is noticed")
            await eventually(lambda: node.switch.is_connected, "it is connected again")
            await node.calls.hang_up(node.customer_id, echoing["id"])
            await p.done()
        await node.saw("call_hungup")
        assert node.types() == [*ANSWERED, "call_updated", "call_hungup"]
    await proxy.stop()
    await nothing_left(asterisk)


async def test_a_dead_asterisk_ends_its_calls_once_and_is_back(tmp_path: Path) -> None:
    async with (
        own_asterisk(tmp_path / "asterisk") as asterisk,
        running_node(tmp_path / "db", asterisk.endpoint) as node,
    ):
        async with phone("falls_silent", asterisk.sip, tmp_path / "one") as p:
            await p.done()
        await node.saw("call_updated", 2)
        os.kill(asterisk.pid, signal.SIGKILL)
        hungup = await node.saw("call_hungup")
        assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("remote", "failed")
        await eventually(lambda: node.switch.is_connected, "a new Asterisk is there")
        async with phone("caller_hangs_up", asterisk.sip, tmp_path / "two") as p:
            await p.done()
        await node.saw("call_hungup", 2)
        assert node.types(hungup["id"]) == [*ANSWERED, "call_hungup"]


async def test_a_switch_out_of_reach_for_too_long_leaves_no_call_open(asterisk: SharedAsterisk, tmp_path: Path) -> None:
    proxy = Proxy(asterisk.endpoint.url)
    await proxy.start()
    impatient = CallSettings(lost_after=timedelta(seconds=0.5))
    async with AsyncExitStack() as phones:
        async with running_node(tmp_path / "db", proxy.endpoint_for(asterisk.endpoint), settings=impatient) as node:
            p = await phones.enter_async_context(phone("waits_for_bye", asterisk.sip, tmp_path / "sipp"))
            await node.saw("call_updated", 2)
            await proxy.stop()
            hungup = await node.saw("call_hungup")
            assert (hungup["hangup_by"], hungup["hangup_reason"]) == ("remote", "failed")
            await eventually(lambda: node.calls.live_count == 0, "no call is open")
        async with running_node(tmp_path / "db", asterisk.endpoint) as later:
            # The switch still had the caller; that is no new call.
            await p.done()
            assert later.types() == []


def has_begun(node: Node, count: int) -> bool:
    return node.types().count("call_created") == count


async def test_however_often_the_stream_is_cut_each_call_has_its_events_once(
    asterisk: SharedAsterisk, tmp_path: Path
) -> None:
    """Cuts while calls begin and end: what happened meanwhile is found out."""
    proxy = Proxy(asterisk.endpoint.url)
    await proxy.start()
    async with running_node(tmp_path / "db", proxy.endpoint_for(asterisk.endpoint)) as node:
        for round_ in range(CUTS):
            async with phone(
                "caller_hangs_up", asterisk.sip, tmp_path / f"{round_}", call_count=3, pause_ms=600 + 200 * round_
            ) as p:
                # Whoever calls while nobody is connected is refused.
                count = 3 * (round_ + 1)
                await eventually(partial(has_begun, node, count), "they have begun")
                proxy.cut()
                await p.done()
        await eventually(lambda: node.calls.live_count == 0, "no call is open", 30)
        calls = await node.all_calls()
        assert len(calls) == 3 * CUTS
        for call in calls:
            types = node.types(call.id)
            assert types[0] == "call_created"
            assert types[-1] == "call_hungup"
            assert all(types.count(name) == 1 for name in ("call_created", "call_hungup")), types
            assert types.count("call_answered") <= 1
            assert node.flow_types(call.activeflow_id).count("activeflow_deleted") == 1
    await proxy.stop()
    await nothing_left(asterisk)
