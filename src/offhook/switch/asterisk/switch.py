"""The adapter: keeps a connection to one Asterisk, tells what it says, and carries out commands.

Theory of operation. `run` is a loop that opens ARI's event stream, asks which channels there are, tells SwitchConnected
with them, and then tells every event, in order. One task does nothing but read the stream and note the time: Asterisk
closes one that it cannot write to. Events that come in before SwitchConnected wait, so none is missed between the
question and the stream. When the stream breaks, SwitchLost is told and the loop begins again after a pause that grows
(with jitter) up to a few seconds. ARI replays nothing: that is why SwitchConnected carries the channels.

The stream tells what concerns channels in our application. A caller's channel leaves it at its end, before it is
destroyed; so each is *followed*, by a subscription of its own: whose call it is commands that (`Follow`), and after a
break it is done here, before the channels are asked for.

Asterisk 22 can keep a stream open on which it tells nothing, and refuse every caller: when one is opened before the end
of the last one was seen (measured). So every few seconds it is asked to tell us something of our own.

Nothing is remembered of calls. One command is one request (`commands`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec
import structlog

from offhook.domain.ids import new_uuid
from offhook.domain.step import Outcome, Unavailable
from offhook.domain.switch.commands import Follow, SwitchCommand
from offhook.domain.switch.inputs import SwitchConnected, SwitchInput, SwitchLost
from offhook.node.backoff import Backoff
from offhook.node.service import Service
from offhook.switch.asterisk.ari import (
    APPLICATION,
    AriClient,
    AriEndpoint,
    NoSuchChannelError,
    SwitchUnavailableError,
)
from offhook.switch.asterisk.commands import AriCommands
from offhook.switch.asterisk.inputs import EVENT_TYPES, callers_in, created_in, input_of, started_at
from offhook.switch.port import Listener

log = structlog.get_logger()

NAME = "asterisk"
"""What commands and channels of this switch carry: there is one."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_WANTED = {"allowed": [{"type": name} for name in EVENT_TYPES]}
# Asterisk answers each at once; more at a time only queue up in it.
_FOLLOWED_AT_ONCE = 16

_BEAT = "offhook-beat"
_BEAT_PATIENCE_S = 3.0
# The first ones soon: it is just after the opening that a stream turns out to be dead.
_BEAT_PAUSES_S = (0.2, 1.0, 5.0)

_Heard = asyncio.Queue[tuple[bytes, datetime] | SwitchUnavailableError | None]


class AsteriskSwitch(Service):
    """A phone system behind ARI (`switch.port.Switch`). `clock` says when something was heard."""

    def __init__(self, endpoint: AriEndpoint, clock: Callable[[], datetime]) -> None:
        self._address = endpoint.address
        self._ari = AriClient(endpoint)
        self._commands = AriCommands(self._ari)
        self._clock = clock
        self._listener: Listener = _nobody
        self._connected = False
        self._was_connected = False
        self._beat = asyncio.Event()

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "switch connection"

    @property
    def switch_name(self) -> str:
        """As commands and channels call it."""
        return NAME

    @property
    def is_connected(self) -> bool:
        """Whether commands can succeed and inputs arrive right now."""
        return self._connected

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every input from now on."""
        self._listener = listener

    @property
    def has_been_connected(self) -> bool:
        """Whether it has been connected since the start, now or before."""
        return self._was_connected

    async def carry_out(self, command: SwitchCommand) -> Outcome:
        """One request."""
        return await self._commands.carry_out(command)

    async def look(self, command: SwitchCommand) -> Outcome:
        """Whether a command that was begun was carried out."""
        return await self._commands.look(command)

    async def run(self) -> None:
        """Connect, and connect again, for ever. A stop disconnects; channels stay as they are."""
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        async with self._ari:
            while True:
                await self._connect_once()
                if self._connected:
                    self._connected = False
                    backoff.reset()
                    self._tell(SwitchLost(NAME), self._clock())
                await asyncio.sleep(backoff.pause_s() * random.uniform(0.5, 1))  # noqa: S311

    async def _connect_once(self) -> None:
        try:
            await self._stay_connected()
        except* (SwitchUnavailableError, NoSuchChannelError) as errors:
            # Some of ARI is not found while Asterisk is still loading its modules.
            fault = errors.exceptions[0]
            log.warning("asterisk.unreachable", url=self._address, error=str(fault))
        except* Exception:
            log.exception("asterisk.connection_failed", url=self._address)

    async def _stay_connected(self) -> None:
        async with asyncio.TaskGroup() as tasks, self._ari.stream() as stream:
            heard: _Heard = asyncio.Queue()
            tasks.create_task(self._read(stream, heard))
            await self._begin()
            tasks.create_task(self._listen_for_beats())
            while (message := await heard.get()) is not None:
                if isinstance(message, SwitchUnavailableError):
                    raise message
                self._take(*message)
            # Ends the other tasks.
            raise SwitchUnavailableError("Asterisk closed the event stream.")

    async def _read(self, stream: AsyncIterator[bytes], heard: _Heard) -> None:
        """Take all that comes, and the end."""
        end = None
        try:
            async for message in stream:
                heard.put_nowait((message, self._clock()))
        except SwitchUnavailableError as error:
            end = error
        heard.put_nowait(end)

    async def _listen_for_beats(self) -> None:
        pauses = iter(_BEAT_PAUSES_S)
        pause_s = 0.0
        while True:
            self._beat.clear()
            await self._ari.post(f"events/user/{_BEAT}", application=APPLICATION)
            try:
                async with asyncio.timeout(_BEAT_PATIENCE_S):
                    await self._beat.wait()
            except TimeoutError:
                raise SwitchUnavailableError("Asterisk's event stream is open and tells nothing.") from None
            pause_s = next(pauses, pause_s)
            await asyncio.sleep(pause_s)

    async def _begin(self) -> None:
        """What there is, before any event."""
        with contextlib.suppress(NoSuchChannelError):  # an Asterisk too old to filter sends everything
            await self._ari.put(f"applications/{APPLICATION}/eventFilter", _WANTED)
        information = await self._ari.get("asterisk/info")
        await self._follow_all(channel.id for channel in callers_in(await self._ari.get("channels"), APPLICATION, NAME))
        # Those that ended before they could be followed are not there any more.
        channels = await self._ari.get("channels")
        callers = callers_in(channels, APPLICATION, NAME)
        created = created_in(channels, APPLICATION)
        self._connected = True
        self._was_connected = True
        log.info("asterisk.connected", url=self._address, channel_count=len(callers))
        self._tell(SwitchConnected(NAME, callers, created, started_at(information)), self._clock())

    async def _follow_all(self, channel_ids: Iterable[str]) -> None:
        slots = asyncio.Semaphore(_FOLLOWED_AT_ONCE)

        async def follow(channel_id: str) -> None:
            async with slots:
                await self._follow(channel_id)

        async with asyncio.TaskGroup() as tasks:
            for channel_id in channel_ids:
                tasks.create_task(follow(channel_id))

    async def _follow(self, channel_id: str) -> None:
        """Have the channel's end told wherever it is by then, unless it has ended."""
        command = Follow(id=new_uuid(), switch=NAME, channel_id=channel_id)
        if isinstance(await self.carry_out(command), Unavailable):
            raise SwitchUnavailableError(f"Asterisk does not let us follow the channel {channel_id}.")

    def _take(self, message: bytes, at: datetime) -> None:
        event: Any = None
        try:
            event = msgspec.json.decode(message)
            if event["type"] == "ChannelUserevent" and event["eventname"] == _BEAT:
                self._beat.set()
            told = input_of(event, NAME)
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            log.exception("asterisk.event_not_understood", type=event.get("type") if isinstance(event, dict) else None)
            return
        if told is not None:
            self._tell(told, at)

    def _tell(self, told: SwitchInput, at: datetime) -> None:
        try:
            self._listener(told, at)
        except Exception:
            log.exception("asterisk.listener_failed", input=type(told).__name__)


def _nobody(_told: SwitchInput, _at: datetime) -> None:
    pass
