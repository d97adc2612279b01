"""Calls on a process with the model of an Asterisk: heard, reconciled and led as a node does it, in its smallest form.

Timers of calls go fifty times as fast as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from offhook.domain.errors import OffhookError, UnavailableError
from offhook.domain.inputs.call import HangUpAsked, Lost, Present
from offhook.domain.step import Outcome, Refused, Tell, Unavailable
from offhook.domain.switch.commands import HangUp, SwitchCommand, ToSwitch
from offhook.domain.switch.inputs import ChannelArrived, ChannelGone, SwitchConnected, SwitchInput, SwitchLost
from offhook.domain.telephony.call_state import Timer
from offhook.store.commit.change import unknown_end
from offhook.store.commit.port import Row
from offhook.telephony.nouns import waits_for
from tests.core.asterisk import Asterisk
from tests.core.calls import CUSTOMER, NOUNS, SWITCH, arrived
from tests.core.story import call_of
from tests.running.memory import MemoryDatabase
from tests.running.process import Process, ms
from tests.running.unsteady import ManualClock


class Wire:
    """The way to an Asterisk, as bad as `fault_rate`: requests that do not arrive, and answers that do not."""

    def __init__(self, asterisk: Asterisk, random: Random) -> None:
        self._asterisk = asterisk
        self._random = random
        self.fault_rate = 0.0
        self.is_cut = False
        self.faults: list[Exception] = []

    async def carry_out(self, command: SwitchCommand) -> Outcome:
        await self._travel()
        if self.is_cut or self._fails():
            return Unavailable()
        if self._fails() and not isinstance(command, HangUp):
            return Refused("Allocation failed")
        outcome = self._answer(self._asterisk.carry_out, command)
        await self._travel()
        return Unavailable() if self.is_cut or self._fails() else outcome

    async def look(self, command: SwitchCommand) -> Outcome:
        await self._travel()
        if self.is_cut or self._fails():
            return Unavailable()
        return self._answer(self._asterisk.look, command)

    def _answer(self, ask: Callable[[SwitchCommand], Outcome], command: SwitchCommand) -> Outcome:
        try:
            return ask(command)
        except Exception as error:
            self.faults.append(error)
            raise

    def _fails(self) -> bool:
        return self._random.random() < self.fault_rate / 2

    async def _travel(self) -> None:
        for _ in range(self._random.randrange(1, 4)):
            await asyncio.sleep(0)
        if self._random.random() < 0.1:
            await asyncio.sleep(0.002)


class Line:
    """One Asterisk, one database, and one process after another."""

    def __init__(self, random: Random, fault_rate: float) -> None:
        self.random = random
        self.fault_rate = fault_rate
        self.asterisk = Asterisk()
        self.wire = Wire(self.asterisk, random)
        self.wire.fault_rate = fault_rate
        self.database = MemoryDatabase(NOUNS, SwitchCommand, ManualClock(rate=50))
        self.process: Process
        self.caller_count = 0
        self._asked: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """A process begins, finds the switch and reconciles."""
        self.process = Process(
            self.database,
            self.wire,
            ToSwitch,
            runner={"first_pause": ms(1), "longest_pause": ms(4)},
            lanes={"first_pause": ms(1), "longest_pause": ms(4)},
            timers={"look_again": ms(5)},
            waits_for=waits_for,
        )
        self._out_of_sight()
        await self.process.start()
        await self._reconcile()

    # What may happen

    def caller_comes(self) -> None:
        if self.caller_count < 3:
            self.caller_count += 1
            self.asterisk.call(f"17724420{self.caller_count:02}.1")

    def caller_leaves(self) -> None:
        if self.asterisk.callers():
            self.asterisk.destroy(self.random.choice(self.asterisk.callers()))

    def we_hang_up(self) -> None:
        calls = [row_id for kind, row_id in sorted(self.database.rows.kept) if kind == "call"]
        if calls:
            asking = asyncio.ensure_future(self._ask(self.random.choice(calls)))
            self._asked.add(asking)
            asking.add_done_callback(self._asked.discard)

    def channels_enter(self) -> None:
        self.asterisk.let_enter()

    def playback_ends(self) -> None:
        if self.asterisk.playbacks:
            failed = self.random.random() < self.fault_rate
            self.asterisk.end_playback(self.random.choice(sorted(self.asterisk.playbacks)), has_failed=failed)

    def is_heard(self) -> None:
        """What the switch has told is told to the runner; some of it twice, or later than other things."""
        while self.asterisk.told:
            late = self.random.random() < self.fault_rate
            told = self.asterisk.told.pop(self.random.randrange(len(self.asterisk.told)) if late else 0)
            for _ in range(2 if self.random.random() < self.fault_rate else 1):
                self._hear(told)

    def write_fails(self) -> None:
        fault = self.random.choice((UnavailableError("The database is away."), unknown_end(), ValueError("odd")))
        self.database.next_errors.append(fault)

    def answer_of_a_commit_is_lost(self) -> None:
        self.database.lost_answers += 1

    async def time_passes(self) -> None:
        await asyncio.sleep(self.random.choice((0, 0, 0.001, 0.005, 0.02)))

    async def stream_is_cut(self) -> None:
        self._out_of_sight()
        self.wire.is_cut = True
        await self.time_passes()
        self.wire.is_cut = False
        await self._reconcile()

    async def process_is_killed(self) -> None:
        await self.process.kill()
        self.database.next_errors.clear()
        await self.begin()

    async def asterisk_dies(self) -> None:
        self._out_of_sight()
        self.asterisk.die()
        await self.process.runner.tell_and_wait()
        for row in self.open_calls():
            self.process.runner.tell(Tell("call", row.id, Lost()))
        await self._reconcile()

    async def go_on(self, count: int) -> None:
        """Let that many things happen."""
        often = [
            *[self.is_heard] * 6,
            *[self.time_passes] * 8,
            *[self.channels_enter] * 3,
            *[self.playback_ends] * 2,
        ]
        seldom = [
            *[self.process_is_killed] * 5,
            *[self.stream_is_cut] * 4,
            *[self.write_fails] * 3,
            *[self.answer_of_a_commit_is_lost] * 3,
            *[self.caller_comes] * 3,
            *[self.we_hang_up] * 2,
            *[self.caller_leaves] * 2,
            self.asterisk_dies,
        ]
        for _ in range(count):
            happens = self.random.choice(seldom if self.random.random() < self.fault_rate else often)
            pause = happens()
            if pause is not None:
                await pause

    # What makes an end of it

    async def settle(self) -> None:
        """From now on all goes well, until whoever is on the phone hears itself, and nothing else is to be done."""
        self.fault_rate = self.wire.fault_rate = 0
        self.database.next_errors.clear()
        self.database.lost_answers = 0
        await self.stream_is_cut()
        async with asyncio.timeout(20):
            while not self._is_settled():
                self.is_heard()
                self.asterisk.let_enter()
                for playback_id in list(self.asterisk.playbacks):
                    self.asterisk.end_playback(playback_id)
                await asyncio.sleep(0.002)

    async def end(self) -> None:
        """Everybody hangs up."""
        while self.asterisk.callers():
            self.caller_leaves()
        await self.settle()
        await asyncio.sleep(0.02)
        await asyncio.gather(*self._asked)
        await self.process.stop()

    def open_calls(self) -> list[Row]:
        return [
            row
            for row in self.database.open_rows()
            if row.kind == "call" and row.document.state.call.status != "hangup"
        ]

    def _is_settled(self) -> bool:
        is_echoing = all(
            getattr(row.document.state.work, "stage", "") == "echoing" and row.document.timers.keys() <= {Timer.LONGEST}
            for row in self.open_calls()
        )
        known = {row.id for row in self.open_calls()}
        is_known = all(call_of(channel_id) in known for channel_id in self.asterisk.callers())
        is_quiet = not self.asterisk.told and not self.database.pending_rows and not self.process.runner.waiting_count
        return is_echoing and is_known and is_quiet

    def _out_of_sight(self) -> None:
        self.asterisk.told.clear()
        self.process.lanes.close(SWITCH)
        self.process.timers.hold(SWITCH)

    async def _reconcile(self) -> None:
        await self.process.runner.tell_and_wait()
        # Nothing is awaited between what the switch has and what is told: nothing is missed.
        self.asterisk.told.clear()
        known = set()
        for row in self.open_calls():
            channel_id = row.document.state.channel_id
            known.add(channel_id)
            leg = self.asterisk.legs.get(channel_id)
            present = ChannelGone(SWITCH, channel_id) if leg is None else Present(leg.is_up, self.asterisk.created())
            self.process.runner.tell(Tell("call", row.id, present))
        for channel_id in self.asterisk.callers():
            if channel_id not in known:
                self._hear(ChannelArrived(self.asterisk.caller(channel_id)))
        await self.process.runner.tell_and_wait()
        self.process.lanes.open(SWITCH)
        self.process.timers.release(SWITCH)

    def _hear(self, told: SwitchInput) -> None:
        assert not isinstance(told, SwitchConnected | SwitchLost), "the model's wire is cut and mended by hand"
        at = self.database.clock.now
        if isinstance(told, ChannelArrived):
            call_id = call_of(told.channel.id)
            tells = [Tell("call", call_id, arrived(call_id, told.channel.id, is_up=told.channel.is_up))]
        elif told.channel_id.startswith("1772"):
            tells = [Tell("call", call_of(told.channel_id), told)]
        else:
            tells = [
                Tell("call", row.id, told)
                for row in self.open_calls()
                if told.channel_id in row.document.state.channels
            ]
        for tell in tells:
            self.process.runner.tell(tell, at=at)

    async def _ask(self, call_id: str) -> None:
        try:
            state = await self.process.runner.ask(CUSTOMER, Tell("call", call_id, HangUpAsked()))
        except (OffhookError, ValueError):
            return
        assert state.call.status in ("terminating", "hangup")
