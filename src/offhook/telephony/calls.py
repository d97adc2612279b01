"""Every call there is: new ones, those of before a restart, and what the API asks of them.

Theory of operation. The switch's inputs are sorted to the calls whose channels they are about. When the switch
is connected, at first or again, what it has is compared with what we know (`_reconcile`): a call whose channel is
there goes on where it was; one whose channel is gone has ended; a caller whom nobody knows gets a call now. While the
switch is out of reach its calls wait, and after `lost_after` they are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog

from offhook.domain import call as rules
from offhook.domain.call import Call, Step, is_open
from offhook.domain.errors import UnavailableError
from offhook.domain.ids import new_uuid
from offhook.node.service import Service
from offhook.store.calls import StoredCall, get_call, open_calls, recent_channels, save_call
from offhook.store.store import Store
from offhook.store.transaction import Transaction
from offhook.switch.port import (
    Channel,
    ChannelAnswered,
    ChannelArrived,
    ChannelGone,
    HangUpReason,
    NoSuchChannelError,
    PlaybackFinished,
    Switch,
    SwitchConnected,
    SwitchInput,
    SwitchLost,
    SwitchUnavailableError,
)
from offhook.telephony.live_call import (
    CallInput,
    CallSettings,
    Clock,
    HangUpAsked,
    Line,
    LiveCall,
    Lost,
    Resumed,
    utc_now,
)

log = structlog.get_logger()

OwnerOfNumber = Callable[[str], Awaitable[str | None]]
"""The id of the customer whose number was dialled; None if nobody takes the call."""

_FINISH_S = 2.0


class CallService(Service):
    """The calls. It hears the switch from its making on, and stops while the switch can still be told to."""

    def __init__(
        self,
        store: Store,
        switch: Switch,
        owner_of_number: OwnerOfNumber,
        settings: CallSettings | None = None,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._switch = switch
        self._owner_of_number = owner_of_number
        self._settings = settings or CallSettings()
        self._clock = clock
        self._lines: dict[str, Line] = {}  # by channel
        self._group: asyncio.TaskGroup | None = None
        self._before: list[StoredCall] = []
        self._early: list[SwitchInput] = []
        switch.listen(self._take)
        self._losing: asyncio.TimerHandle | None = None
        self._stopping = False
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "calls"

    @property
    def live_count(self) -> int:
        """How many calls are open."""
        return len(self._lines)

    async def start(self) -> None:
        """Find out which calls were open."""
        self._before = await self._store.read(open_calls)

    async def run(self) -> None:
        """Take up the calls that were open, hear the switch, and lead every call to its end."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for stored in self._before:
                    self._spawn(self._lead(self._line(stored.channel_id), stored.call))
                self._before.clear()
                self._expect_switch()
                early, self._early = self._early, []
                for told in early:
                    self._take(told)
                await self._stopped.wait()
                raise _StopError
        except* _StopError:
            pass
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Refuse callers, end every call, and return when all is on disk (or within some seconds)."""
        if self._stopped.is_set() or self._group is None:
            return
        self._stopping = True
        self._tell_all(HangUpAsked())
        if self._switch.is_connected:
            await self._wait_until_empty(self._settings.stop_time.total_seconds())
        self._tell_all(Lost())
        await self._wait_until_empty(_FINISH_S)
        if self._losing is not None:
            self._losing.cancel()
        self._stopped.set()
        await self._ended.wait()

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """Hang a call up; the call, `terminating` until the switch has ended it. One that is over stays as it is.

        Raises NotFoundError, and UnavailableError if the call cannot be led now.
        """
        call = await self._store.read(lambda connection: get_call(connection, customer_id, call_id))
        if not is_open(call):
            return call
        live = self._live_call(call_id)
        if live is None:
            raise UnavailableError("The phone system is not ready. Try again in a moment.")
        return await live.hang_up()

    def _take(self, told: SwitchInput) -> None:
        if self._group is None:
            self._early.append(told)
            return
        match told:
            case ChannelArrived(channel=channel):
                self._welcome(channel)
            case ChannelAnswered() | ChannelGone() | PlaybackFinished():
                self._tell(told.channel_id, told)
            case SwitchConnected(channels=channels, started_at=started_at):
                self._reconcile({channel.id: channel for channel in channels}, started_at)
            case SwitchLost():
                self._expect_switch()
            case _:
                pass

    def _tell(self, channel_id: str, told: CallInput) -> None:
        line = self._lines.get(channel_id)
        if line is not None:
            line.tell(told)

    def _tell_all(self, told: CallInput) -> None:
        for line in self._lines.values():
            line.tell(told)

    def _welcome(self, channel: Channel, *, is_stranger: bool = False) -> None:
        """A caller. Told twice, the second time changes nothing."""
        if channel.id in self._lines:
            return
        if self._stopping or len(self._lines) >= self._settings.max_live_calls:
            self._spawn(self._refuse(channel.id))
        else:
            self._spawn(self._open(self._line(channel.id), channel, is_stranger=is_stranger))

    async def _open(self, line: Line, channel: Channel, *, is_stranger: bool) -> None:
        """Make a call of a caller, and lead it to its end."""
        customer_id = None
        try:
            if not (is_stranger and await self._had_call(channel.id)):
                customer_id = await self._owner_of_number(channel.dialled)
        except Exception:
            log.exception("call.not_opened")
        if customer_id is None:
            log.warning("call.refused", channel_id=channel.id)
            self._forget(line)
            await self._refuse(channel.id)
            return
        if channel.is_up:
            line.tell(ChannelAnswered(channel.id))
        created = self._new_call(customer_id, channel)
        await self._lead(line, created.call, created)

    async def _had_call(self, channel_id: str) -> bool:
        return bool(await self._store.read(lambda connection: recent_channels(connection, [channel_id])))

    def _new_call(self, customer_id: str, channel: Channel) -> Step:
        return rules.incoming(
            new_uuid(),
            customer_id,
            caller=channel.caller_number,
            caller_name=channel.caller_name,
            dialled=channel.dialled,
            now=self._clock(),
        )

    async def _refuse(self, channel_id: str) -> None:
        try:
            await self._switch.hang_up(channel_id, HangUpReason.CONGESTION)
        except (NoSuchChannelError, SwitchUnavailableError) as error:
            log.info("call.refusal_not_told", error=error.message)

    async def _lead(self, line: Line, call: Call, created: Step | None = None) -> None:
        """Lead a call to its end: one that was open before, or one that is `created` now."""
        live = line.live = LiveCall(call, line, self._store, self._switch, self._settings, self._clock)
        try:
            if created is not None:
                await live.begin(created)
            await self._lead_on(live, resumed=created is None)
        finally:
            self._forget(line)

    async def _lead_on(self, live: LiveCall, *, resumed: bool) -> None:
        while is_open(live.call):
            try:
                await live.lead(resumed=resumed)
            except Exception:
                # A fault of ours must not leave the call open for ever, nor take the others with it.
                log.exception("call.failed", call_id=live.call.id)
                resumed = True

    def _line(self, channel_id: str) -> Line:
        line = self._lines[channel_id] = Line(channel_id)
        self._empty.clear()
        return line

    def _forget(self, line: Line) -> None:
        self._lines.pop(line.channel_id, None)
        if not self._lines:
            self._empty.set()

    def _live_call(self, call_id: str) -> LiveCall | None:
        lives = (line.live for line in self._lines.values())
        return next((live for live in lives if live is not None and live.call.id == call_id), None)

    def _reconcile(self, there: dict[str, Channel], started_at: datetime) -> None:
        """Compare what the switch has with what we know."""
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None
        for line in self._lines.values():
            line.tell(_news(line, there.get(line.channel_id), started_at))
        for channel in there.values():
            # A caller whom nobody knows: we were killed before the call was on disk, or gave it up as lost.
            self._welcome(channel, is_stranger=True)

    def _expect_switch(self) -> None:
        """From now on the switch is out of reach: wait for it, but not for ever."""
        if self._losing is None and not self._stopping:
            patience_s = self._settings.lost_after.total_seconds()
            self._losing = asyncio.get_running_loop().call_later(patience_s, self._give_up)

    def _give_up(self) -> None:
        self._losing = None
        if not self._switch.is_connected:
            if self._lines:
                log.error("call.switch_lost", call_count=len(self._lines))
            self._tell_all(Lost())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        self._group.create_task(work)

    async def _wait_until_empty(self, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("call.still_open", call_count=len(self._lines))


def _news(line: Line, channel: Channel | None, started_at: datetime) -> CallInput:
    """What a line is told when the switch is connected again."""
    if channel is not None:
        return Resumed(channel.is_up)
    if line.live is not None and datetime.fromisoformat(line.live.call.tm_create) < started_at:
        # This switch process is younger than the call: the one that had it died.
        return Lost()
    return ChannelGone(line.channel_id, 0, 0)


class NoCalls:
    """What the API is given without a phone system."""

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """Raises UnavailableError."""
        raise UnavailableError("This server runs without a phone system. Start it without --no-switch.")


async def end_open_calls(store: Store, clock: Clock = utc_now) -> None:
    """End what was open before, where there is no switch any more: no call stays open for ever."""

    def change(tx: Transaction) -> None:
        for stored in open_calls(tx.reader):
            step = rules.lost(stored.call, clock())
            if save_call(tx, step.call):
                for event in step.events:
                    tx.add_event(event)

    await store.write(change)


class _StopError(Exception):
    """Ends the task group."""
