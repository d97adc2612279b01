"""Hearing a switch, and comparing what it has with what we know: how telephony's inputs come to the rules.

Theory of operation. What a switch tells is sorted to the calls whose channels it is about, and told to the runner, in
order. A caller who is new gets a call, once it is known whose number was dialled; what is said of the channel meanwhile
waits for that. When the switch is connected, at first or again, what it has is compared with what we know
(`reconcile`); only when the calls have been told of that do their commands and their timers go on. While the switch is
out of reach its calls stand still, and after `lost_after` they are over.

Nothing is decided here, and nothing commanded but the end of a channel that belongs to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog

from offhook.domain.catalogue.call import Call
from offhook.domain.errors import UnavailableError
from offhook.domain.ids import new_uuid
from offhook.domain.inputs.call import KIND, Arrived, Control, HangUpAsked, Lost
from offhook.domain.step import Tell, Unavailable
from offhook.domain.switch.commands import HangUp, HangUpCause
from offhook.domain.switch.inputs import Channel, ChannelArrived, SwitchConnected, SwitchInput, SwitchLost
from offhook.node.backoff import Backoff
from offhook.node.service import Service
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.store.commit.committed import Committed
from offhook.store.commit.port import Row
from offhook.store.store import Store
from offhook.switch.port import Switch
from offhook.telephony.live_calls import LiveCalls
from offhook.telephony.numbers import NoRoute, Route
from offhook.telephony.reconcile import missed, reconcile
from offhook.telephony.requests import control, delete, hang_up
from offhook.telephony.settings import CallSettings

log = structlog.get_logger()

RouteOf = Callable[[str], Awaitable[Route | NoRoute]]
"""Whom a caller reaches, by what was dialled."""

_FINISH_S = 2.0
_LOOK_AGAIN_S = 0.5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0

_Heard = list[tuple[SwitchInput, datetime]]


class CallService(Service):
    """It hears the switch from its making on, and stops while the switch can still be told to end calls."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        lanes: Lanes,
        timers: Timers,
        switch: Switch,
        route_of: RouteOf,
        settings: CallSettings | None = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._lanes = lanes
        self._timers = timers
        self._switch = switch
        self._route_of = route_of
        self._settings = settings or CallSettings()
        self._live = LiveCalls()
        self._opening: dict[str, _Heard] = {}
        self._early: _Heard | None = []
        self._tasks: set[asyncio.Task[None]] = set()
        # Whether what was committed is not known, and the calls that were told of since it is being read.
        self._is_behind = self._is_looking = False
        self._touched: set[str] = set()
        self._losing: asyncio.TimerHandle | None = None
        self._connection_count = 0
        self._is_stopping = False
        self._stopped = asyncio.Event()
        lanes.close(switch.switch_name)
        timers.hold(switch.switch_name)
        store.subscribe(self._note)
        switch.listen(self._take)

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "calls"

    @property
    def live_count(self) -> int:
        """How many calls are open."""
        return self._live.count + len(self._opening)

    async def start(self) -> None:
        """Find out which calls are open."""
        self._is_behind = True
        await self._look()

    async def run(self) -> None:
        """Hear the switch."""
        self._expect_switch()
        early, self._early = self._early or [], None
        for told, at in early:
            self._take(told, at)
        await self._stopped.wait()

    async def stop(self) -> None:
        """Refuse callers, end every call, and return when all is on disk (or within some seconds)."""
        self._is_stopping = True
        if self._early is None and not self._stopped.is_set():
            self._tell_all(HangUpAsked())
            if self._switch.is_connected:
                await self._wait_until_empty(self._settings.stop_time.total_seconds())
            self._tell_all(Lost())
            await self._wait_until_empty(_FINISH_S)
        if self._losing is not None:
            self._losing.cancel()
        await self._refuse_the_rest()
        for task in self._tasks:
            task.cancel()
        self._stopped.set()

    async def _refuse_the_rest(self) -> None:
        """Whoever is just being let in, or refused, hears so before nobody is here any more."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FINISH_S)
        if self._opening:
            ends = [asyncio.create_task(self._end(channel_id)) for channel_id in self._opening]
            await asyncio.wait(ends, timeout=_FINISH_S)
            self._tasks.update(ends)

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """Hang a call up; the call, `terminating` until the switch has ended it. One that is over stays as it is.

        Raises NotFoundError, and UnavailableError if that cannot be committed now.
        """
        return await hang_up(self._runner, customer_id, call_id)

    async def control(self, customer_id: str, call_id: str, asked: Control) -> None:
        """Turn something on or off. Raises NotFoundError, ConflictError, UnavailableError."""
        await control(self._runner, customer_id, call_id, asked)

    async def delete(self, customer_id: str, call_id: str) -> Call:
        """Hang a call up if it is not over, and hide it. Raises NotFoundError, ConflictError, UnavailableError."""
        return await delete(self._runner, customer_id, call_id)

    def _note(self, committed: Committed) -> None:
        for write in committed.changes:
            if write.row.kind == KIND:
                self._log(write.row)
                self._live.take_row(write.row, is_open=write.is_open)
                self._touched.add(write.row.id)
        if committed.everything:
            self._is_behind = True
            self._spawn(self._look())

    def _log(self, row: Row) -> None:
        """What has changed of a call, if a person would say so."""
        call: Call = row.document.state.call
        before = self._live.rows.get(row.id)
        shown = None if before is None else before.document.state.call
        is_new = row.version == 0
        is_other = shown is not None and (shown.status, shown.action.id) != (call.status, call.action.id)
        if is_other or is_new:
            log.info("call.changed", call_id=call.id, status=call.status, action=call.action.type)
        # One that is over is in `rows` no more; one that was made and ended in the same commit never was.
        if (before is not None or is_new) and call.tm_hangup is not None:
            _log_end(call, call.tm_hangup)

    async def _look(self) -> None:
        """Find out which calls are open, as often as that is not known."""
        if self._is_looking:
            return
        self._is_looking = True
        try:
            while self._is_behind:
                self._is_behind = False
                self._touched.clear()
                try:
                    rows = await self._store.read(self._store.tables.open)
                except UnavailableError:
                    self._is_behind = True
                    await asyncio.sleep(_LOOK_AGAIN_S)
                    continue
                if not self._is_behind:
                    self._live.replace([row for row in rows if row.kind == KIND], self._touched)
        finally:
            self._is_looking = False

    def _take(self, told: SwitchInput, at: datetime) -> None:
        if self._early is not None:
            self._early.append((told, at))
            return
        match told:
            case ChannelArrived(channel=channel):
                self._welcome(channel, at)
            case SwitchConnected():
                self._reconcile(told, at)
            case SwitchLost():
                self._stand_still()
            case _:
                self._pass_on(told.channel_id, told, at)

    def _pass_on(self, channel_id: str, told: SwitchInput, at: datetime) -> None:
        waiting = self._opening.get(channel_id)
        if waiting is not None:
            waiting.append((told, at))
            return
        call_id = self._live.call_of(channel_id)
        if call_id is not None:
            self._runner.tell(Tell(KIND, call_id, told), at=at)

    def _welcome(self, channel: Channel, at: datetime) -> None:
        """A caller. Told twice, the second time changes nothing."""
        if channel.id in self._opening or self._live.call_of(channel.id) is not None:
            return
        if self._is_stopping or self.live_count >= self._settings.max_live_calls:
            self._spawn(self._end(channel.id))
        else:
            self._opening[channel.id] = []
            self._spawn(self._open(channel, at))

    async def _open(self, channel: Channel, at: datetime) -> None:
        """Make a call of a caller."""
        route: Route | NoRoute | None = None
        try:
            route = await self._route_of(channel.dialled)
        except UnavailableError as error:
            log.warning("call.refused", channel_id=channel.id, dialled=channel.dialled[:64], reason=error.message)
        except Exception:
            log.exception("call.not_opened")
        waiting = self._opening.pop(channel.id)
        if not isinstance(route, Route) or self._is_stopping:
            await self._refuse(channel, route)
            return
        call_id = new_uuid()
        self._live.add_uncommitted(channel.id, call_id)
        arrived = Arrived(
            id=call_id,
            customer_id=route.customer_id,
            channel=channel,
            actions=route.actions,
            flow_id=route.flow_id,
            on_complete_flow_id=route.on_complete_flow_id,
            number=route.number,
            max_time=self._settings.max_call_time,
        )
        self._runner.tell(Tell(KIND, call_id, arrived), at=at)
        for told, heard_at in waiting:
            self._pass_on(channel.id, told, heard_at)
        if not self._switch.is_connected:
            # It was given up before this call was there?
            self._expect_switch()
        await self._runner.tell_and_wait()
        if self._live.drop_uncommitted(call_id):
            # A rule raised: that is in the log.
            await self._end(channel.id)

    async def _refuse(self, channel: Channel, route: Route | NoRoute | None) -> None:
        if isinstance(route, NoRoute):
            log.warning("call.refused", channel_id=channel.id, dialled=channel.dialled[:64], reason=route.reason)
            await self._end(channel.id, HangUpCause.UNALLOCATED)
        else:
            await self._end(channel.id)

    async def _end(self, channel_id: str, cause: HangUpCause = HangUpCause.CONGESTION) -> None:
        """End a channel that is nobody's. One that stays comes up again when the switch is connected again."""
        command = HangUp(id=new_uuid(), switch=self._switch.switch_name, channel_id=channel_id, cause=cause)
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while isinstance(outcome := await self._switch.carry_out(command), Unavailable) and self._switch.is_connected:
            pause_s = backoff.pause_s()
            await asyncio.sleep(pause_s)
        log.info("call.channel_ended", channel_id=channel_id, outcome=type(outcome).__name__)

    def _reconcile(self, connected: SwitchConnected, at: datetime) -> None:
        """Compare what the switch has with what we know."""
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None
        found = reconcile(self._live.rows, self._live.channels, connected)
        for told in missed((*self._opening, *self._live.uncommitted_channels), connected):
            self._pass_on(told.channel_id, told, at)
        for tell in found.tells:
            self._runner.tell(tell, at=at)
        for channel in found.strangers:
            self._welcome(channel, at)
        for channel_id in found.orphans:
            self._spawn(self._end(channel_id, HangUpCause.NORMAL))
        self._connection_count += 1
        self._spawn(self._go_on(self._connection_count))

    async def _go_on(self, connection: int) -> None:
        """Let commands and timers go once the calls have been told what happened meanwhile."""
        await self._runner.tell_and_wait()
        if connection == self._connection_count and self._switch.is_connected:
            self._lanes.open(self._switch.switch_name)
            self._timers.release(self._switch.switch_name)

    def _stand_still(self) -> None:
        self._connection_count += 1
        self._lanes.close(self._switch.switch_name)
        self._timers.hold(self._switch.switch_name)
        self._expect_switch()

    def _expect_switch(self) -> None:
        """From now on the switch is out of reach: wait for it, but not for ever."""
        if self._losing is None and not self._is_stopping:
            patience_s = self._settings.lost_after.total_seconds()
            self._losing = asyncio.get_running_loop().call_later(patience_s, self._give_up)

    def _give_up(self) -> None:
        self._losing = None
        if not self._switch.is_connected:
            if self._live.count:
                log.error("call.switch_lost", call_count=self._live.count)
            self._tell_all(Lost())

    def _tell_all(self, told: HangUpAsked | Lost) -> None:
        for call_id in self._live.ids():
            self._runner.tell(Tell(KIND, call_id, told))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait_until_empty(self, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._live.wait_until_empty()
        except TimeoutError:
            log.warning("call.still_open", call_count=self._live.count)


def _log_end(call: Call, tm_hangup: str) -> None:
    """One line for a call that is over. Its length counts from the answer, or from its begin if there was none."""
    began = datetime.fromisoformat(call.tm_progressing or call.tm_create)
    log.info(
        "call.ended",
        call_id=call.id,
        direction=call.direction,
        source=call.source.target,
        destination_number=call.destination.target,
        hangup_by=call.hangup_by,
        hangup_reason=call.hangup_reason,
        was_answered=call.tm_progressing is not None,
        duration_s=round((datetime.fromisoformat(tm_hangup) - began).total_seconds(), 1),
    )


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except UnavailableError as error:
        # The runner has ended: the next start finds out.
        log.warning("call.work_postponed", error=error.message)
    except Exception:
        log.exception("call.work_failed")
