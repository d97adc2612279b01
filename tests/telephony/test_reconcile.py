"""What the switch has, beside what we know; and which calls we know."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from msgspec.structs import replace

from offhook.domain.inputs.call import HangUpAsked, Lost, Present
from offhook.domain.step import Pending, Tell
from offhook.domain.switch.commands import Create
from offhook.domain.switch.inputs import ChannelGone, SwitchConnected
from offhook.store.commit.port import Row
from offhook.telephony.live_calls import LiveCalls
from offhook.telephony.reconcile import reconcile
from tests.core.calls import CALL_ID, CHANNEL, SWITCH, Calls, channel
from tests.core.machine import START

LONG_AGO = START - timedelta(hours=1)
SOON = START + timedelta(hours=1)


def row_of(calls: Calls) -> Row:
    row = calls.rows.get("call", CALL_ID)
    assert isinstance(row, Row)
    return row


def one_call() -> tuple[Calls, LiveCalls]:
    calls = Calls()
    calls.arrive()
    live = LiveCalls()
    live.take_row(row_of(calls), is_open=True)
    return calls, live


def connected(
    *callers: str, is_up: bool = False, created: tuple[str, ...] = (), at: datetime = LONG_AGO
) -> SwitchConnected:
    return SwitchConnected(SWITCH, tuple(channel(name, is_up=is_up) for name in callers), created, at)


def test_a_call_whose_channel_is_there_is_told_what_it_may_have_missed() -> None:
    _, live = one_call()
    found = reconcile(live.rows, live.channels, connected(CHANNEL, is_up=True))
    assert found.tells == (Tell("call", CALL_ID, Present(True, ())),)
    assert (found.strangers, found.orphans) == ((), ())


def test_a_call_whose_channel_is_gone_has_ended_and_with_a_younger_switch_it_is_lost() -> None:
    _, live = one_call()
    gone = reconcile(live.rows, live.channels, connected())
    assert gone.tells == (Tell("call", CALL_ID, ChannelGone(SWITCH, CHANNEL)),)
    lost = reconcile(live.rows, live.channels, connected(at=SOON))
    assert lost.tells == (Tell("call", CALL_ID, Lost()),)


def test_whom_and_what_nobody_knows() -> None:
    _, live = one_call()
    found = reconcile(live.rows, live.channels, connected(CHANNEL, "new", created=("nobodys",)))
    assert found.strangers == (channel("new"),)
    assert found.orphans == ("nobodys",)


def test_a_caller_whom_we_gave_up_is_no_new_one_until_its_channel_has_been_ended() -> None:
    calls, live = one_call()
    calls.hear(Lost())
    live.take_row(row_of(calls), is_open=bool(row_of(calls).document.pending))
    assert (live.count, dict(live.rows)) == (0, {})
    assert reconcile(live.rows, live.channels, connected(CHANNEL)).strangers == ()
    calls.end_all()
    live.take_row(row_of(calls), is_open=False)
    assert reconcile(live.rows, live.channels, connected(CHANNEL)).strangers == (channel(),)


def test_a_call_that_is_about_to_be_committed_is_known() -> None:
    live = LiveCalls()
    live.add_uncommitted(CHANNEL, CALL_ID)
    assert (live.call_of(CHANNEL), live.count, live.ids()) == (CALL_ID, 1, [CALL_ID])
    assert live.drop_uncommitted(CALL_ID)
    assert (live.call_of(CHANNEL), live.count) == (None, 0)
    live.add_uncommitted(CHANNEL, CALL_ID)
    calls = Calls()
    calls.arrive()
    live.take_row(row_of(calls), is_open=True)
    assert not live.drop_uncommitted(CALL_ID)
    assert (live.call_of(CHANNEL), live.ids()) == (CALL_ID, [CALL_ID])


def test_channels_that_are_made_for_a_call_are_its_own_as_long_as_it_has_them() -> None:
    calls, live = one_call()
    calls.end_all()
    calls.wait(timedelta(seconds=2))
    calls.up()
    calls.end_all()
    calls.wait(timedelta())
    calls.played(calls.work.playback_id)
    live.take_row(row_of(calls), is_open=True)
    echo = calls.work.channel_id
    assert set(live.channels) == {CHANNEL, echo}
    calls.hang_up()
    calls.gone()
    live.take_row(row_of(calls), is_open=True)
    assert set(live.channels) == {CHANNEL}


def test_what_was_read_anew_replaces_what_was_known() -> None:
    calls, live = one_call()
    live.add_uncommitted("expected", "another")
    live.replace([], ())
    assert (set(live.channels), live.ids()) == ({"expected"}, ["another"])
    live.replace([row_of(calls)], ())
    assert set(live.channels) == {CHANNEL, "expected"}


def test_what_was_told_while_it_was_read_is_known_better() -> None:
    calls, live = one_call()
    read_before = [row_of(calls)]
    live.replace([], {CALL_ID})
    assert (set(live.channels), live.count) == ({CHANNEL}, 1), "it was made since"
    calls.hear(ChannelGone(SWITCH, CHANNEL))
    live.take_row(row_of(calls), is_open=False)
    live.replace(read_before, {CALL_ID})
    assert (set(live.channels), live.count) == (set(), 0), "it ended since"


async def test_waiting_until_there_is_none() -> None:
    calls, live = one_call()
    waiting = asyncio.create_task(live.wait_until_empty())
    await asyncio.sleep(0)
    assert not waiting.done()
    calls.ask("call", CALL_ID, HangUpAsked())
    calls.gone()
    live.take_row(row_of(calls), is_open=True)
    await asyncio.wait_for(waiting, 1)


def outgoing(calls: Calls, *, is_made: bool) -> Row:
    """The same call, on a channel that we make."""
    row = row_of(calls)
    create = Create(id="1", switch=SWITCH, channel_id=CHANNEL, endpoint="PJSIP/somebody")
    pending = () if is_made else (Pending(1, create),)
    return replace(row, document=replace(row.document, pending=pending))


def test_a_call_whose_channel_is_being_made_is_not_gone() -> None:
    calls, _ = one_call()
    to_be_made = {CALL_ID: outgoing(calls, is_made=False)}
    assert reconcile(to_be_made, {CHANNEL}, connected()).tells == ()
    assert reconcile(to_be_made, {CHANNEL}, connected(at=SOON)).tells == ()
    made = {CALL_ID: outgoing(calls, is_made=True)}
    assert reconcile(made, {CHANNEL}, connected(created=(CHANNEL,))).tells == (
        Tell("call", CALL_ID, Present(False, (CHANNEL,))),
    )
    assert reconcile(made, {CHANNEL}, connected()).tells == (Tell("call", CALL_ID, ChannelGone(SWITCH, CHANNEL)),)


def test_another_switchs_calls_are_told_nothing() -> None:
    _, live = one_call()
    another = SwitchConnected("another", (), (), SOON)
    assert reconcile(live.rows, live.channels, another).tells == ()
