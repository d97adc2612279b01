"""The adapter: keeps a connection to one Asterisk, tells the port's inputs, carries out its commands.

Theory of operation. `run` is a loop that connects to ARI's event stream, asks which channels there are, tells
SwitchConnected with them, and then tells every event, in order. Events that came in between wait in the socket, so
none is missed between the question and the stream. When the stream breaks, SwitchLost is told and the loop begins
again after a pause that grows (with jitter) up to a few seconds. ARI replays nothing: that is why SwitchConnected
carries the channels.

ARI has no echo. A caller is put into a mixing bridge with a Local channel whose other half runs `Echo()` in the
dialplan. Bridge and channel carry ids made from the caller's, so that they are found again after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from typing import Any

import structlog

from offhook.node.service import Service
from offhook.switch.asterisk.ari import APPLICATION, AriClient, AriEndpoint
from offhook.switch.asterisk.mapping import EVENT_TYPES, callers_in, input_of, started_at
from offhook.switch.port import (
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


class AsteriskSwitch(Service):
    """A phone system behind ARI (`switch.port.Switch`)."""

    def __init__(self, endpoint: AriEndpoint) -> None:
        self._address = endpoint.address
        self._ari = AriClient(endpoint)
        self._listener: Listener = _nobody
        self._connected = False
        self._echoing: set[str] = set()
        self._was_connected = asyncio.Event()

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
        bridge, echo = _ECHO + channel_id, _ECHO + channel_id
        self._echoing.add(channel_id)
        try:
            await self._ari.post(f"bridges/{bridge}", type="mixing", name="offhook-echo")
            # With its originator's formats nothing is transcoded; without, it would be at 192 kHz.
            await self._ari.post(
                "channels/create",
                endpoint=_ECHO_DIALPLAN,
                app=APPLICATION,
                appArgs="echo",
                channelId=echo,
                originator=channel_id,
            )
            await self._ari.post(f"bridges/{bridge}/addChannel", channel=f"{channel_id},{echo}")
            await self._ari.post(f"channels/{echo}/dial", timeout="10")
        except BaseException:
            await self._end_echo(channel_id)
            raise

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
        async with asyncio.TaskGroup() as tidying:
            async for event in self._ari.events():
                if event:
                    self._take(event, tidying)
                else:
                    await self._begin(tidying)

    async def _begin(self, tidying: asyncio.TaskGroup) -> None:
        """What there is, before any event."""
        with contextlib.suppress(NoSuchChannelError):  # an Asterisk too old to filter sends everything
            await self._ari.put(f"applications/{APPLICATION}/eventFilter", _WANTED)
        information = await self._ari.get("asterisk/info")
        callers = callers_in(await self._ari.get("channels"), APPLICATION)
        alive = {channel.id for channel in callers}
        echoing = {
            str(bridge["id"]).removeprefix(_ECHO)
            for bridge in await self._ari.get("bridges")
            if str(bridge["id"]).startswith(_ECHO)
        }
        self._echoing = echoing & alive
        for channel_id in echoing - alive:
            tidying.create_task(self._end_echo(channel_id))
        self._connected = True
        self._was_connected.set()
        log.info("asterisk.connected", url=self._address, channel_count=len(callers))
        self._tell(SwitchConnected(callers, started_at(information)))

    def _take(self, event: Mapping[str, Any], tidying: asyncio.TaskGroup) -> None:
        try:
            told = input_of(event)
        except (KeyError, TypeError, AttributeError):
            log.exception("asterisk.event_not_understood", type=event.get("type"))
            return
        if isinstance(told, ChannelGone) and told.channel_id in self._echoing:
            tidying.create_task(self._end_echo(told.channel_id))
        if told is not None:
            self._tell(told)

    def _tell(self, told: SwitchInput) -> None:
        try:
            self._listener(told)
        except Exception:
            log.exception("asterisk.listener_failed", input=type(told).__name__)

    async def _end_echo(self, channel_id: str) -> None:
        self._echoing.discard(channel_id)
        for path in (f"channels/{_ECHO}{channel_id}", f"bridges/{_ECHO}{channel_id}"):
            try:
                await self._ari.delete(path)
            except NoSuchChannelError:
                continue
            except SwitchUnavailableError as error:
                log.warning("asterisk.echo_left_behind", error=error.message)


def _nobody(_: SwitchInput) -> None:
    pass
