"""The adapter: keeps a connection to one Asterisk, tells the port's inputs, carries out its commands.

Theory of operation. `run` is a loop that opens ARI's event stream, asks which channels there are, tells SwitchConnected
with them, and then tells every event, in order. One task does nothing but read the stream: Asterisk closes one that it
cannot write to. Events that come in before SwitchConnected wait, so none is missed between the question and the stream.
When the stream breaks, SwitchLost is told and the loop begins again after a pause that grows (with jitter) up to a few
seconds. ARI replays nothing: that is why SwitchConnected carries the channels.

The stream tells what concerns channels in our application. A caller's channel leaves it at its end, before it is
destroyed; so each is *followed*, by a subscription of its own, as soon as it is there. One that cannot be followed any
more has ended: then what was last said of its hang-up is the cause.

Asterisk 22 can keep a stream open on which it tells nothing, and refuse every caller: when one is opened before the end
of the last one was seen (measured). So every few seconds it is asked to tell us something of our own.

ARI has no echo. A caller is put into a mixing bridge with a Local channel whose other half runs `Echo()` in the
dialplan. Bridge and channel carry ids made from the caller's, so that they are found again after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from offhook.node.service import Service
from offhook.switch.asterisk.ari import APPLICATION, AriClient, AriEndpoint, AriRefusedError
from offhook.switch.asterisk.inputs import EVENT_TYPES, started_at
from offhook.switch.asterisk.mapping import callers_in, input_of
from offhook.switch.port import (
    ChannelArrived,
    ChannelGone,
    HangUpReason,
    Listener,
    NoSuchChannelError,
    SwitchConnected,
    SwitchInput,
    SwitchLost,
    SwitchUnavailableError,
)

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_WANTED = {"allowed": [{"type": name} for name in EVENT_TYPES]}
_ECHO = "offhook-echo-"
_ECHO_DIALPLAN = "Local/s@offhook-echo/n"
_ENTRY_S = 3.0
_GONE_S = 2.0
_GONE_LOOK_S = 0.02
# Asterisk answers each at once; more at a time only queue up in it.
_FOLLOWED_AT_ONCE = 16
# What Asterisk answers when there is nothing to subscribe to.
_NO_SOURCE = 422

_BEAT = "offhook-beat"
_BEAT_PATIENCE_S = 3.0
# The first ones soon: it is just after the opening that a stream turns out to be dead.
_BEAT_PAUSES_S = (0.2, 1.0, 5.0)

_Heard = asyncio.Queue[bytes | SwitchUnavailableError | None]


class AsteriskSwitch(Service):
    """A phone system behind ARI (`switch.port.Switch`)."""

    def __init__(self, endpoint: AriEndpoint) -> None:
        self._address = endpoint.address
        self._ari = AriClient(endpoint)
        self._listener: Listener = _nobody
        self._connected = False
        self._echoing: set[str] = set()
        # Channels of ours that are just being made, until they have come into our application.
        self._entering: dict[str, asyncio.Future[None]] = {}
        # Callers that are not followed yet, and the cause of their end as far as one was told.
        self._causes: dict[str, int] = {}
        self._was_connected = asyncio.Event()
        self._beat = asyncio.Event()

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "switch connection"

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
        return self._was_connected.is_set()

    async def was_connected(self) -> None:
        """Return once it was connected for the first time."""
        await self._was_connected.wait()

    async def run(self) -> None:
        """Connect, and connect again, for ever. A stop disconnects; channels stay as they are."""
        pause_s = _FIRST_PAUSE_S
        async with self._ari:
            while True:
                await self._connect_once(pause_s)
                if self._connected:
                    self._connected = False
                    pause_s = _FIRST_PAUSE_S
                    self._tell(SwitchLost())
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def ring(self, channel_id: str) -> None:
        """Let an incoming caller hear ringing."""
        await self._ari.post(f"channels/{channel_id}/ring")

    async def answer(self, channel_id: str) -> None:
        """Answer an incoming channel."""
        await self._ari.post(f"channels/{channel_id}/answer")

    async def hang_up(self, channel_id: str, reason: HangUpReason) -> None:
        """End a channel, or refuse it before the answer."""
        await self._ari.delete(f"channels/{channel_id}", reason_code=str(reason.value))

    async def play(self, channel_id: str, sound: str, playback_id: str) -> None:
        """Play one of Asterisk's sounds."""
        await self._ari.post(f"channels/{channel_id}/play/{playback_id}", media=f"sound:{sound}")

    async def is_playing(self, playback_id: str) -> bool:
        """Whether that playback has not come to its end."""
        try:
            await self._ari.get(f"playbacks/{playback_id}")
        except NoSuchChannelError:
            return False
        return True

    async def echo(self, channel_id: str) -> None:
        """Send back to the channel what is heard from it."""
        if channel_id in self._echoing:
            return
        self._echoing.add(channel_id)
        try:
            await self._make_echo(channel_id, _ECHO + channel_id)
        except BaseException:
            await self._end_echo(channel_id)
            raise

    async def _make_echo(self, channel_id: str, name: str) -> None:
        """Bridge and channel are both called `name`."""
        await self._ari.post(f"bridges/{name}", type="mixing", name="offhook-echo")
        async with self._entry_of(name):
            # With its originator's formats nothing is transcoded; without, it would be at 192 kHz.
            await self._ari.post(
                "channels/create",
                endpoint=_ECHO_DIALPLAN,
                app=APPLICATION,
                appArgs="echo",
                channelId=name,
                originator=channel_id,
            )
        await self._ari.post(f"bridges/{name}/addChannel", channel=f"{channel_id},{name}")
        await self._ari.post(f"channels/{name}/dial", timeout="10")

    @contextlib.asynccontextmanager
    async def _entry_of(self, channel_id: str) -> AsyncIterator[None]:
        """Whatever is made within comes into our application a moment after Asterisk's answer: wait for it."""
        entered = self._entering[channel_id] = asyncio.get_running_loop().create_future()
        try:
            yield
            async with asyncio.timeout(_ENTRY_S):
                await entered
        except TimeoutError:
            raise SwitchUnavailableError("A channel was made and did not come into the application.") from None
        finally:
            del self._entering[channel_id]

    async def _connect_once(self, pause_s: float) -> None:
        try:
            await self._stay_connected()
        except* (SwitchUnavailableError, NoSuchChannelError) as errors:
            # Some of ARI is not found while Asterisk is still loading its modules.
            fault = errors.exceptions[0]
            log.warning("asterisk.unreachable", url=self._address, error=str(fault), pause_s=round(pause_s, 2))
        except* Exception:
            log.exception("asterisk.connection_failed", url=self._address)

    async def _stay_connected(self) -> None:
        async with asyncio.TaskGroup() as tasks, self._ari.stream() as stream:
            heard: _Heard = asyncio.Queue()
            tasks.create_task(_read(stream, heard))
            await self._begin(tasks)
            tasks.create_task(self._listen_for_beats())
            while (message := await heard.get()) is not None:
                if isinstance(message, SwitchUnavailableError):
                    raise message
                self._take(message, tasks)
            # Ends the other tasks.
            raise SwitchUnavailableError("Asterisk closed the event stream.")

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

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        """What there is, before any event."""
        self._causes.clear()
        with contextlib.suppress(NoSuchChannelError):  # an Asterisk too old to filter sends everything
            await self._ari.put(f"applications/{APPLICATION}/eventFilter", _WANTED)
        information = await self._ari.get("asterisk/info")
        await self._follow_all(channel.id for channel in callers_in(await self._ari.get("channels"), APPLICATION))
        # Those that ended before they could be followed are not there any more.
        channels = await self._ari.get("channels")
        callers = callers_in(channels, APPLICATION)
        await self._take_up_echoes({channel.id for channel in callers}, channels, tasks)
        self._connected = True
        self._was_connected.set()
        log.info("asterisk.connected", url=self._address, channel_count=len(callers))
        self._tell(SwitchConnected(callers, started_at(information)))

    async def _follow_all(self, channel_ids: Iterable[str]) -> None:
        slots = asyncio.Semaphore(_FOLLOWED_AT_ONCE)

        async def follow(channel_id: str) -> None:
            async with slots:
                await self._follow(channel_id)

        async with asyncio.TaskGroup() as tasks:
            for channel_id in channel_ids:
                tasks.create_task(follow(channel_id))

    async def _follow(self, channel_id: str) -> bool:
        """Have the channel's end told wherever it is by then. False if it has ended."""
        try:
            await self._ari.post(f"applications/{APPLICATION}/subscription", eventSource=f"channel:{channel_id}")
        except AriRefusedError as error:
            if error.status != _NO_SOURCE:
                raise
            return False
        return True

    async def _follow_caller(self, channel_id: str, tasks: asyncio.TaskGroup) -> None:
        self._causes[channel_id] = 0
        is_there = await self._follow(channel_id)
        cause = self._causes.pop(channel_id, 0)
        if not is_there:
            self._tell_end(ChannelGone(channel_id, cause, 0), tasks)

    def _tell_end(self, told: ChannelGone, tasks: asyncio.TaskGroup) -> None:
        if told.channel_id in self._echoing:
            tasks.create_task(self._end_echo(told.channel_id))
        self._tell(told)

    async def _take_up_echoes(
        self, callers: set[str], channels: list[dict[str, Any]], tasks: asyncio.TaskGroup
    ) -> None:
        """Keep those that work, end those of callers who left, and at once those that were never finished."""
        bridges = {str(bridge["id"]): set(bridge["channels"]) for bridge in await self._ari.get("bridges")}
        states = {str(channel["id"]): channel["state"] for channel in channels}
        names = {name for name in (*bridges, *states) if name.startswith(_ECHO)}
        self._echoing = {
            channel_id
            for channel_id in callers
            if {channel_id, _ECHO + channel_id} <= bridges.get(_ECHO + channel_id, set())
            and states.get(_ECHO + channel_id) == "Up"
        }
        for channel_id in {name.removeprefix(_ECHO) for name in names} - self._echoing:
            if channel_id in callers:
                await self._end_echo(channel_id)
            else:
                tasks.create_task(self._end_echo(channel_id))

    def _take(self, message: bytes, tasks: asyncio.TaskGroup) -> None:
        event: Any = None
        try:
            event = msgspec.json.decode(message)
            told = input_of(event)
            self._note(event)
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            log.exception("asterisk.event_not_understood", type=event.get("type") if isinstance(event, dict) else None)
            return
        match told:
            case ChannelArrived(channel=channel):
                self._tell(told)
                tasks.create_task(self._follow_caller(channel.id, tasks))
            case ChannelGone():
                self._tell_end(told, tasks)
            case None:
                pass
            case _:
                self._tell(told)

    def _note(self, event: Mapping[str, Any]) -> None:
        """What the port need not know."""
        match event["type"]:
            case "StasisStart" if event["channel"]["id"] in self._entering:
                entered = self._entering[event["channel"]["id"]]
                if not entered.done():
                    entered.set_result(None)
            case "ChannelHangupRequest" if event["channel"]["id"] in self._causes:
                self._causes[event["channel"]["id"]] = event.get("cause", 0)
            case "ChannelUserevent" if event["eventname"] == _BEAT:
                self._beat.set()

    def _tell(self, told: SwitchInput) -> None:
        try:
            self._listener(told)
        except Exception:
            log.exception("asterisk.listener_failed", input=type(told).__name__)

    async def _end_echo(self, channel_id: str) -> None:
        """End it, and return once its channel is gone: the next one has the same name."""
        self._echoing.discard(channel_id)
        name = _ECHO + channel_id
        for path in (f"channels/{name}", f"bridges/{name}"):
            try:
                await self._ari.delete(path)
            except NoSuchChannelError:
                continue
            except SwitchUnavailableError as error:
                log.warning("asterisk.echo_left_behind", error=error.message)
        with contextlib.suppress(NoSuchChannelError, SwitchUnavailableError, TimeoutError):
            async with asyncio.timeout(_GONE_S):
                while True:
                    await self._ari.get(f"channels/{name}")
                    await asyncio.sleep(_GONE_LOOK_S)


async def _read(stream: AsyncIterator[bytes], heard: _Heard) -> None:
    """Take all that comes, and the end."""
    end = None
    try:
        async for message in stream:
            heard.put_nowait(message)
    except SwitchUnavailableError as error:
        end = error
    heard.put_nowait(end)


def _nobody(_: SwitchInput) -> None:
    pass
