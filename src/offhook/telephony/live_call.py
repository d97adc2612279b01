"""One call that is not over: what it hears, one thing after another, and what is done about it.

Theory of operation. Each open call has a task of its own and a mailbox (`Line`). The task takes one input at a time:
it decides with the pure rules of `domain.call`, commits the call with its events, and only then commands the switch.
What to command follows from the call's state alone (`_act`), and every command may be repeated. So the same function
leads a call on after an input, after a failed command (some seconds later), after the switch came back, and after a
restart.

An input is never lost to a database that cannot be written for a while: the commit is tried again until it succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from offhook.domain import call as rules
from offhook.domain.call import Call, Step, is_open
from offhook.domain.errors import UnavailableError
from offhook.store.calls import add_call, save_call
from offhook.store.store import Store
from offhook.store.transaction import Transaction
from offhook.switch.port import (
    ChannelAnswered,
    ChannelGone,
    HangUpReason,
    NoSuchChannelError,
    PlaybackFinished,
    Switch,
    SwitchUnavailableError,
)
from offhook.telephony import greeting

log = structlog.get_logger()

_AGAIN_S = 2.0
_PATIENCE_S = 10.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class CallSettings(msgspec.Struct, frozen=True):
    """What an operator may change. `greeting` is one of Asterisk's sounds; `lost_after` is how long the switch may be
    out of reach before its calls are over; `max_live_calls` beyond which callers are refused; `stop_time` is what a
    graceful stop gives calls to end."""

    ring_time: timedelta = timedelta(seconds=2)
    greeting: str = "hello-world"
    lost_after: timedelta = timedelta(seconds=30)
    stop_time: timedelta = timedelta(seconds=3)
    max_live_calls: int = 1_000


class HangUpAsked(msgspec.Struct, frozen=True):
    """Somebody on our side wants the call to end."""


class Resumed(msgspec.Struct, frozen=True):
    """The switch was out of sight and the channel is still there."""

    is_up: bool


class Lost(msgspec.Struct, frozen=True):
    """The switch died under the call, or is out of reach for too long."""


class _Due(msgspec.Struct, frozen=True):
    """It is time to go on."""


CallInput = ChannelAnswered | ChannelGone | PlaybackFinished | HangUpAsked | Resumed | Lost
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class Line:
    """A caller's channel as we know it: its mailbox, and its call once there is one."""

    def __init__(self, channel_id: str) -> None:
        self.channel_id = channel_id
        self.mailbox: asyncio.Queue[CallInput] = asyncio.Queue()
        self.live: LiveCall | None = None

    def tell(self, told: CallInput) -> None:
        """Put something into the mailbox."""
        self.mailbox.put_nowait(told)


class LiveCall:
    """The open call on a line. `begin` and `lead` belong to one task; `hang_up` may be called from any."""

    def __init__(
        self, call: Call, line: Line, store: Store, switch: Switch, settings: CallSettings, clock: Clock
    ) -> None:
        self.call = call
        self._line = line
        self._channel_id = line.channel_id
        self._store = store
        self._switch = switch
        self._settings = settings
        self._now = clock
        self._changed = asyncio.Event()
        self._due: float | None = None
        self._is_missing = False
        self._is_asked_to_end = False

    async def hang_up(self) -> Call:
        """Ask for the end; the call once that is on disk. Raises UnavailableError if it takes too long."""
        if not self._is_asked_to_end:
            self._is_asked_to_end = True
            self._line.tell(HangUpAsked())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while self.call.status not in ("terminating", "canceling", "hangup"):
                    await self._changed.wait()
        except TimeoutError:
            raise UnavailableError("The call could not be ended yet. It will be as soon as possible.") from None
        return self.call

    async def begin(self, step: Step) -> None:
        """Keep a new call, with its first events. May be repeated."""

        def change(tx: Transaction) -> None:
            if add_call(tx, step.call, self._channel_id):
                for event in step.events:
                    tx.add_event(event)

        await self._commit(step, change)

    async def lead(self, *, resumed: bool = False) -> None:
        """Lead the call to its end. A resumed one does nothing before it is told that its channel is there."""
        if not resumed:
            await self._go_on()
        while is_open(self.call):
            await self._take(await self._next())

    async def _next(self) -> CallInput | _Due:
        try:
            async with asyncio.timeout_at(self._due):
                return await self._line.mailbox.get()
        except TimeoutError:
            return _Due()

    async def _take(self, told: CallInput | _Due) -> None:
        now = self._now()
        match told:
            case ChannelAnswered():
                await self._change(rules.answered(self.call, now, greeting.answer_action(self.call.id)))
            case PlaybackFinished():
                if self.call.action.type == greeting.PLAY:
                    await self._change(rules.acts(self.call, greeting.echo_action(self.call.id), now))
            case HangUpAsked():
                await self._change(rules.hangs_up(self.call, now))
            case Resumed(is_up=True):
                await self._change(rules.answered(self.call, now, greeting.answer_action(self.call.id)))
            case Resumed() | _Due():
                pass
            case ChannelGone(cause=cause, tech_cause=tech_cause):
                await self._change(rules.gone(self.call, now, cause=cause, tech_cause=tech_cause))
            case Lost():
                await self._change(rules.lost(self.call, now))
        if is_open(self.call):
            await self._go_on()

    async def _go_on(self) -> None:
        self._due = None
        try:
            await self._act()
        except NoSuchChannelError:
            # Its end is in the mailbox, or on its way. If it is not there by the next time, nobody will tell it.
            if self._is_missing:
                self._line.tell(ChannelGone(self._channel_id, 0, 0))
            self._is_missing = True
            self._go_on_in(_AGAIN_S)
        except SwitchUnavailableError as error:
            log.warning("call.command_failed", call_id=self.call.id, status=self.call.status, error=error.message)
            self._go_on_in(_AGAIN_S)

    async def _act(self) -> None:
        """Command what the call's state asks for."""
        match self.call.status:
            case "dialing":
                await self._switch.ring(self._channel_id)
                await self._change(rules.rings(self.call, self._now()))
                self._go_on_in(self._ring_time_left_s())
            case "ringing":
                left_s = self._ring_time_left_s()
                if left_s > 0:
                    self._go_on_in(left_s)
                else:
                    await self._switch.answer(self._channel_id)
            case "progressing":
                await self._run_flow()
            case _:
                await self._switch.hang_up(self._channel_id, HangUpReason.NORMAL)

    async def _run_flow(self) -> None:
        call = self.call
        match call.action.type:
            case greeting.ECHO:
                await self._switch.echo(self._channel_id)
            case greeting.PLAY:
                # Whether it was ever begun cannot be told; better to miss a greeting than to hear it twice.
                if not await self._switch.is_playing(greeting.playback_id(call.id)):
                    await self._change(rules.acts(call, greeting.echo_action(call.id), self._now()))
                    await self._switch.echo(self._channel_id)
            case _:
                sound = self._settings.greeting
                await self._change(rules.acts(call, greeting.play_action(call.id, sound), self._now()))
                await self._switch.play(self._channel_id, sound, greeting.playback_id(call.id))

    def _go_on_in(self, seconds: float) -> None:
        self._due = asyncio.get_running_loop().time() + max(seconds, 0)

    def _ring_time_left_s(self) -> float:
        began = datetime.fromisoformat(self.call.tm_ringing or self.call.tm_create)
        left = began + self._settings.ring_time - self._now()
        # A clock that was set back must not let it ring for hours.
        return min(left, self._settings.ring_time).total_seconds()

    async def _change(self, step: Step) -> None:
        if not step.event_types:
            return

        def change(tx: Transaction) -> None:
            if save_call(tx, step.call):
                for event in step.events:
                    tx.add_event(event)

        await self._commit(step, change)

    async def _commit(self, step: Step, change: Callable[[Transaction], None]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._store.write(change)
                break
            except UnavailableError as error:
                log.error("call.not_written", call_id=step.call.id, error=error.message)
            except Exception:
                log.exception("call.not_written", call_id=step.call.id)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        self.call = step.call
        self._changed.set()
        self._changed = asyncio.Event()
        log.info("call.changed", call_id=step.call.id, status=step.call.status, events=list(step.event_types))
