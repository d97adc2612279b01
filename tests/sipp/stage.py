"""A real Asterisk and what it tells, for a test that commands it by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from offhook.domain.ids import new_uuid
from offhook.domain.step import Done, Outcome
from offhook.domain.switch.commands import HangUp, SwitchCommand
from offhook.domain.switch.inputs import ChannelArrived, ChannelEntered, SwitchInput
from offhook.switch.asterisk.ari import APPLICATION, AriClient
from offhook.switch.asterisk.commands import AriCommands
from offhook.switch.asterisk.inputs import input_of
from tests.sipp.phone import Phone, phone
from tests.sipp.switches import SharedAsterisk, eventually

SWITCH = "switch-1"
_BEAT_S = 1.0


class Stage:
    """`events` are Asterisk's, as they came; `inputs` what they tell."""

    def __init__(self, asterisk: SharedAsterisk, ari: AriClient) -> None:
        self.ari = ari
        self.commands = AriCommands(ari)
        self.events: list[dict[str, Any]] = []
        self.inputs: list[SwitchInput] = []
        self._asterisk = asterisk

    async def do(self, kind: Callable[..., SwitchCommand], channel_id: str = "", **fields: object) -> Outcome:
        """Carry out one such command."""
        return await self.commands.carry_out(command(kind, channel_id, **fields))

    async def twice(self, kind: Callable[..., SwitchCommand], channel_id: str = "", **fields: object) -> list[Outcome]:
        """Carry out the very same command, and again."""
        one = command(kind, channel_id, **fields)
        return [await self.commands.carry_out(one) for _ in range(2)]

    async def look(self, kind: Callable[..., SwitchCommand], channel_id: str = "", **fields: object) -> Outcome:
        """Look for what such a command would have done."""
        return await self.commands.look(command(kind, channel_id, **fields))

    def count(self, type_: str, thing_id: str) -> int:
        """How many events of that type were about that thing."""
        things = ("channel", "playback", "recording")
        ids = [
            {event.get(thing, {}).get(name) for thing in things for name in ("id", "name")}
            for event in self.events
            if event["type"] == type_
        ]
        return sum(thing_id in found for found in ids)

    async def hears(self, told: SwitchInput) -> None:
        """Wait until exactly this is told."""
        await eventually(lambda: told in self.inputs, f"{told} is told: {self.inputs}")

    async def sees(self, type_: str, thing_id: str, count: int = 1) -> None:
        """Wait for so many events of that type about that thing."""
        await eventually(lambda: self.count(type_, thing_id) >= count, f"{count} {type_} of {thing_id}")

    async def beat(self, channel_id: str) -> None:
        """Wait until an event of our own about this channel is heard: all that was before is then heard, too."""
        name = f"beat-{new_uuid()}"
        query = {"application": APPLICATION, "source": f"channel:{channel_id}"}
        await self.ari.ask("POST", "events", "user", name, query=query)
        await eventually(lambda: any(event.get("eventname") == name for event in self.events), "the beat is heard")

    async def state_of(self, channel_id: str) -> str:
        """A channel's state as Asterisk has it; empty if there is no such channel."""
        answer = await self.ari.ask("GET", "channels", channel_id)
        return str(answer.content["state"]) if answer.is_ok else ""

    async def channels(self) -> list[str]:
        """Every channel there is."""
        return [str(channel["id"]) for channel in (await self.ari.ask("GET", "channels")).content]

    @contextlib.asynccontextmanager
    async def caller(
        self, folder: Path, scenario: str = "waits_for_bye", **how: Any
    ) -> AsyncIterator[tuple[str, Phone]]:
        """Somebody who calls: the channel. Whoever is still there at the end is hung up."""
        seen = len(self.inputs)
        async with phone(scenario, self._asterisk.sip, folder, **how) as caller:
            await eventually(lambda: any(self._arrived(seen)), "somebody calls")
            (channel,) = self._arrived(seen)
            yield channel, caller
            await self.do(HangUp, channel)

    @contextlib.asynccontextmanager
    async def answered(self, folder: Path, **how: Any) -> AsyncIterator[str]:
        """A caller who was answered, and who has ended as it should at the end."""
        async with self.caller(folder, **how) as (channel, caller):
            await self.ari.ask("POST", "channels", channel, "answer")
            await self.sees("ChannelStateChange", channel)
            yield channel
            await self.do(HangUp, channel)
            await caller.done()

    async def create(self, kind: Callable[..., SwitchCommand], **fields: object) -> str:
        """A channel of ours that has entered."""
        channel = new_uuid()
        assert await self.do(kind, channel, **fields) == Done()
        await self.hears(ChannelEntered(SWITCH, channel))
        return channel

    def _arrived(self, since: int) -> list[str]:
        return [told.channel.id for told in self.inputs[since:] if isinstance(told, ChannelArrived)]

    async def read(self, stream: AsyncIterator[bytes]) -> None:
        """Take what comes, for ever."""
        async for message in stream:
            event = msgspec.json.decode(message)
            self.events.append(event)
            if (told := input_of(event, SWITCH)) is not None:
                self.inputs.append(told)


def command(kind: Callable[..., SwitchCommand], channel_id: str = "", **fields: object) -> SwitchCommand:
    """A command with an id of its own."""
    return kind(id=new_uuid(), switch=SWITCH, channel_id=channel_id, **fields)


@contextlib.asynccontextmanager
async def staged(asterisk: SharedAsterisk) -> AsyncIterator[Stage]:
    """A stage on which nobody is. Whatever is left on it at the end is ended."""
    async with AriClient(asterisk.endpoint) as ari:
        while True:
            stage = Stage(asterisk, ari)
            async with ari.stream() as stream:
                reading = asyncio.create_task(stage.read(stream))
                try:
                    if await _is_heard(stage):
                        yield stage
                        await _clear(stage)
                        return
                finally:
                    reading.cancel()


async def _is_heard(stage: Stage) -> bool:
    # One that is opened before Asterisk has seen the end of the last one may tell nothing.
    await stage.ari.ask("POST", "events", "user", "beat", query={"application": APPLICATION})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_BEAT_S):
            while not stage.events:
                await asyncio.sleep(0.01)
    return bool(stage.events)


async def _clear(stage: Stage) -> None:
    for place in ("channels", "bridges"):
        for thing in (await stage.ari.ask("GET", place)).content:
            await stage.ari.ask("DELETE", place, thing["id"])
    await eventually(lambda: _is_empty(stage), "nobody is left")


async def _is_empty(stage: Stage) -> bool:
    return not await stage.channels()
