"""The real telephony of a node, on a real store, with a switch that the test plays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from offhook.domain.catalogue.fields import Action
from offhook.domain.delivery.signature import new_secret
from offhook.domain.ids import NIL_UUID, new_uuid
from offhook.domain.step import Done, Outcome
from offhook.domain.switch.commands import SwitchCommand, ToSwitch
from offhook.domain.switch.inputs import Channel, ChannelArrived, ChannelGone, SwitchConnected, SwitchInput, SwitchLost
from offhook.flows.greeting import greeting
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.store.commit.committed import Committed
from offhook.store.database.database import Database
from offhook.store.queries.customers import add_customer
from offhook.store.store import Store
from offhook.switch.port import Listener
from offhook.telephony.calls import CallService
from offhook.telephony.nouns import COMMAND_TYPE, NOUNS, waits_for
from offhook.telephony.numbers import NoRoute, Route
from offhook.telephony.settings import CallSettings
from tests.running import Running

T = TypeVar("T")
SWITCH = "asterisk"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PATIENT = CallSettings()
ACTIONS = greeting(timedelta(seconds=30), "hello-world")


class PlayedSwitch:
    """Does what it is told after `delay_s`, and answers as the test says."""

    switch_name = SWITCH

    def __init__(self) -> None:
        self.is_connected = False
        self.delay_s = 0.0
        self.answer: Callable[[SwitchCommand], Outcome] = lambda _: Done()
        self.done: list[SwitchCommand] = []
        self._listener: Listener = lambda _told, _at: None

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def tell(self, told: SwitchInput) -> None:
        self._listener(told, datetime.now(UTC))

    def connect(self, *callers: Channel) -> None:
        self.is_connected = True
        self.tell(SwitchConnected(SWITCH, callers, (), LONG_AGO))

    def lose(self) -> None:
        self.is_connected = False
        self.tell(SwitchLost(SWITCH))

    async def carry_out(self, command: SwitchCommand) -> Outcome:
        await asyncio.sleep(self.delay_s)
        outcome = self.answer(command)
        self.done.append(command)
        return outcome

    async def look(self, command: SwitchCommand) -> Outcome:
        return Done()


def caller(channel_id: str = "c1") -> Channel:
    return Channel(SWITCH, channel_id, False, "R. Miller", "+15550100123", "+15550100200")


class Telephony:
    """`types` are those of the events of calls so far."""

    def __init__(self, store: Store, settings: CallSettings) -> None:
        self.store = store
        self.types: list[str] = []
        self.customer_id = new_uuid()
        self.owner_delay_s = 0.0
        self.slow_count = 0
        """How many slow looks are over."""
        self.takes_calls = True
        self.actions: Sequence[Action] = ACTIONS
        self.switch = PlayedSwitch()
        store.subscribe(self._note)
        runner = Runner(store)
        lanes, timers = Lanes(store, runner), Timers(store, runner, waits_for)
        lanes.register(ToSwitch, self.switch)
        self.calls = CallService(store, runner, lanes, timers, self.switch, self._route_of, settings)
        self.services = (runner, lanes, timers, self.calls)

    async def saw(self, type_: str, count: int = 1, patience_s: float = 40) -> None:
        await until(lambda: self.types.count(type_) >= count, f"{count} {type_}: {self.types[-10:]}", patience_s)

    async def looked(self) -> None:
        """Wait until a slow look is over, and whatever came before that is heard."""
        await until(lambda: self.slow_count > 0, "the look is over")
        await self.heard_the_last()

    async def heard_the_last(self) -> None:
        """What is told to the switch's listener is heard in order: wait for one more caller to come and go."""
        last = f"last {len(self.types)}"
        rung, gone = self.types.count("call_ringing"), self.types.count("call_hungup")
        self.switch.tell(ChannelArrived(caller(last)))
        await self.saw("call_ringing", rung + 1)
        self.switch.tell(ChannelGone(SWITCH, last, 16))
        await self.saw("call_hungup", gone + 1)

    def slow_look(self, seconds: float = 0.3) -> None:
        """From now on what is open comes late to the call service."""
        real = self.store

        class Slow:
            tables = real.tables

            @staticmethod
            async def read(query: Callable[[sa.Connection], T]) -> T:
                found = await real.read(query)
                await asyncio.sleep(seconds)
                self.slow_count += 1
                return found

        self.calls._store = Slow  # type: ignore[assignment]

    def forget_what_was_committed(self) -> None:
        """As the store tells it when its writer is back."""
        self.store._deliver((), Committed(everything=True))

    async def _route_of(self, dialled: str) -> Route | NoRoute:
        await asyncio.sleep(self.owner_delay_s)
        if not self.takes_calls:
            return NoRoute("nobody has this number")
        return Route(dialled, self.customer_id, NIL_UUID, tuple(self.actions))

    def _note(self, committed: Committed) -> None:
        self.types += [event.type for event in committed.events if event.subject.startswith("call/")]


async def until(condition: Callable[[], bool], what: str, patience_s: float = 40) -> None:
    deadline = asyncio.get_running_loop().time() + patience_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def telephony(url: str, settings: CallSettings = PATIENT) -> AsyncIterator[Telephony]:
    """Telephony whose switch is connected."""
    running = Running()
    store = await running.add(Store(Database(url), NOUNS, COMMAND_TYPE))
    node = Telephony(store, settings)
    await store.write(lambda tx: add_customer(tx, node.customer_id, new_secret(), {}))
    try:
        for service in node.services:
            await running.add(service)
        node.switch.connect()
        yield node
    finally:
        await running.stop()
