"""A leg that we make and dial: the smallest noun with commands that must not be done twice, and a node for it.

    python -m tests.telephony.leg DATABASE ENDPOINT FAR_END KIND PLACE REQUESTS

makes one to `FAR_END` and ends itself by SIGKILL around a command (`tests.telephony.killed_node`). One whose far end
answers is given every command that calls do not give yet, one after another, and is hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from msgspec.structs import replace

from offhook.domain.delivery.signature import new_secret
from offhook.domain.ids import new_uuid
from offhook.domain.noun import Noun, registry
from offhook.domain.step import Absent, Broken, Command, Ended, Step, Tell, Unknown, made_id
from offhook.domain.switch.commands import (
    AddToBridge,
    Create,
    CreateBridge,
    DestroyBridge,
    Dial,
    Find,
    HangUp,
    Play,
    Record,
    RemoveFromBridge,
    Snoop,
    StopPlayback,
    StopRecording,
    SwitchCommand,
    ToSwitch,
)
from offhook.domain.switch.inputs import (
    ChannelAnswered,
    ChannelEntered,
    ChannelGone,
    SwitchConnected,
    SwitchInput,
    SwitchLost,
)
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.store.database.database import Database
from offhook.store.noun_tables import noun_table
from offhook.store.queries.customers import add_customer
from offhook.store.store import Store
from offhook.switch.asterisk.ari import AriEndpoint
from offhook.switch.asterisk.switch import NAME as SWITCH
from offhook.switch.asterisk.switch import AsteriskSwitch
from tests.databases import sqlite_database
from tests.running import Running
from tests.sipp.switches import eventually
from tests.telephony.killed_node import kill_around, note_requests


class Make(msgspec.Struct, frozen=True):
    """Makes a leg to this endpoint."""

    customer_id: str
    endpoint: str


class Leg(msgspec.Struct, frozen=True):
    """`channel_id` is ours. `outcomes` are those of its commands, in order."""

    customer_id: str
    channel_id: str
    is_over: bool = False
    is_dialled: bool = False
    has_errands: bool = False
    outcomes: tuple[str, ...] = ()


def _decide(leg: Leg | None, told: Any, now: datetime) -> Step[Leg]:
    del now
    if leg is None:
        channel_id = new_uuid()
        create = Create(id=made_id(channel_id, 1), switch=SWITCH, channel_id=channel_id, endpoint=told.endpoint)
        return Step(Leg(told.customer_id, channel_id), commands=(create,))
    match told:
        case ChannelEntered(channel_id=channel_id) if not leg.is_dialled and channel_id == leg.channel_id:
            dial = Dial(id=made_id(leg.channel_id, 2), switch=SWITCH, channel_id=leg.channel_id)
            return Step(replace(leg, is_dialled=True), commands=(dial,))
        case Ended(command=command, outcome=outcome):
            name = f"{type(command).__name__} {type(outcome).__name__}"
            ended = replace(leg, outcomes=(*leg.outcomes, name))
            match command, outcome:
                case Dial(), Absent():
                    return Step(replace(ended, is_over=True))
                case Dial(), Unknown():
                    # It may ring, or never will: nobody is dialled a second time.
                    hang_up = HangUp(id=made_id(leg.channel_id, 3), switch=SWITCH, channel_id=leg.channel_id)
                    return Step(ended, commands=(hang_up,))
                case StopRecording(), _:
                    both = ((5, leg.channel_id), (6, _snoop(leg)))
                    return Step(
                        ended,
                        commands=tuple(
                            HangUp(id=made_id(leg.channel_id, number), switch=SWITCH, channel_id=channel_id)
                            for number, channel_id in both
                        ),
                    )
                case _:
                    return Step(ended)
        case ChannelAnswered() if not leg.has_errands:
            return Step(replace(leg, has_errands=True), commands=_errands(leg))
        case ChannelGone(channel_id=channel_id) if channel_id == leg.channel_id:
            return Step(replace(leg, is_over=True))
        case _:
            return Step(leg)


def _errands(leg: Leg) -> tuple[Command, ...]:
    own: dict[str, str] = {"switch": SWITCH, "channel_id": leg.channel_id}
    ids = [made_id(leg.channel_id, number) for number in range(10, 30)]
    playback, bridge, recording = ids[:3]
    return (
        Play(id=ids[4], playback_id=playback, media=("sound:hello-world",), **own),
        StopPlayback(id=ids[5], playback_id=playback, **own),
        Find(id=ids[6], thing="channel", thing_id=leg.channel_id, **own),
        CreateBridge(id=ids[7], bridge_id=bridge, **own),
        AddToBridge(id=ids[8], bridge_id=bridge, member_id=leg.channel_id, **own),
        RemoveFromBridge(id=ids[9], bridge_id=bridge, member_id=leg.channel_id, **own),
        DestroyBridge(id=ids[10], bridge_id=bridge, **own),
        Snoop(id=ids[11], snoop_id=_snoop(leg), spy="in", **own),
        Record(id=ids[12], recording_id=recording, **own),
        StopRecording(id=ids[13], recording_id=recording, **own),
    )


def _snoop(leg: Leg) -> str:
    return made_id(leg.channel_id, 4)


def _broken(leg: Leg, told: Broken, now: datetime) -> Step[Leg]:
    del told, now
    return Step(replace(leg, is_over=True))


LEG: Noun[Leg] = Noun(
    kind="leg",
    state_type=Leg,
    decide=_decide,
    is_final=lambda leg: leg.is_over,
    broken=_broken,
    customer_of=lambda leg: leg.customer_id,
    creates=(Make,),
)


class LegNode:
    """A node in which only legs live; there is one."""

    def __init__(self, store: Store, endpoint: AriEndpoint) -> None:
        self.store = store
        self.runner = Runner(store)
        self.lanes = Lanes(store, self.runner)
        self.switch = AsteriskSwitch(endpoint, store.now)
        self.lanes.register(ToSwitch, self.switch)
        self.lanes.close(SWITCH)
        self.switch.listen(self._take)
        self.leg_id = ""
        self.leg: Leg | None = None
        """As it was at the start."""

    async def make(self, endpoint: str) -> None:
        """Make the leg."""
        self.leg_id, customer_id = new_uuid(), new_uuid()
        await self.store.write(lambda tx: add_customer(tx, customer_id, new_secret(), {}))
        await self.runner.tell_and_wait(Tell("leg", self.leg_id, Make(customer_id, endpoint)))

    async def take_up(self) -> None:
        """See whether a node before has made a leg."""
        for row in await self.store.read(self.store.tables.open):
            self.leg_id, self.leg = row.id, row.document.state

    def _take(self, told: SwitchInput, at: datetime) -> None:
        match told:
            case SwitchConnected(created=created):
                if self.leg is not None and self.leg.channel_id in created:
                    self.runner.tell(Tell("leg", self.leg_id, ChannelEntered(SWITCH, self.leg.channel_id)), at=at)
                self.lanes.open(SWITCH)
            case SwitchLost():
                self.lanes.close(SWITCH)
            case ChannelEntered() | ChannelAnswered() | ChannelGone() if self.leg_id:
                self.runner.tell(Tell("leg", self.leg_id, told), at=at)
            case _:
                pass


@contextlib.asynccontextmanager
async def leg_node(database: Path, endpoint: AriEndpoint) -> AsyncIterator[LegNode]:
    """A node that is connected."""
    running = Running()
    store = await running.add(Store(Database(sqlite_database(database)), registry(LEG), SwitchCommand))
    await store.write(lambda tx: noun_table("leg", sa.MetaData()).create(tx.connection, checkfirst=True))
    node = LegNode(store, endpoint)
    await node.take_up()
    try:
        for service in (node.runner, node.lanes, node.switch):
            await running.add(service)
        await eventually(lambda: node.switch.is_connected, "the switch is connected")
        yield node
    finally:
        await running.stop()


async def _main(database: str, endpoint: str, far_end: str, kind: str, place: str, requests: str) -> None:
    note_requests(Path(requests))
    async with leg_node(Path(database), msgspec.json.decode(endpoint, type=AriEndpoint)) as node:
        kill_around(node.store, kind, place)
        await node.make(far_end)
        await asyncio.sleep(60)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_main(*sys.argv[1:]))
