"""CPU of the core: microseconds per root input, with its decisions, rows and events, alone and a hundred a group.

`python bench/core.py [--calls 400] [--database postgresql://…]`. Whole calls with their activeflows are told from the
arrival to the end, on a real store, beside bare events in the same run; then what ten inputs in a hundred that raise
cost their neighbours, and how long the event loop stood still at 3,000 inputs a second with thousands of live rows.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import structlog
import uvloop

from offhook.domain.delivery.signature import new_secret
from offhook.domain.events.event import NewEvent, envelope
from offhook.domain.ids import new_uuid
from offhook.domain.inputs.call import Arrived
from offhook.domain.step import Command, Done, Due, Ended, Tell, made_id
from offhook.domain.switch.commands import Answer, Follow, HangUp, Play, Ring, ToSwitch
from offhook.domain.switch.inputs import Channel, ChannelAnswered, ChannelGone, PlaybackFinished
from offhook.domain.times import from_us
from offhook.flows.activeflow import Timer
from offhook.flows.greeting import greeting
from offhook.node.garbage import exempt_what_is_there
from offhook.store.commit.committed import Committed
from offhook.store.commit.unit import Result, Unit
from offhook.store.database.database import Database, sqlite_url
from offhook.store.queries import customers
from offhook.store.store import Store
from offhook.telephony.nouns import COMMAND_TYPE, NOUNS

_SWITCH = "asterisk"
_FLOW = greeting(timedelta(seconds=2), "hello-world")
_PAYLOAD = envelope("call_updated", b'{"id":"x","note":"' + b"y" * 800 + b'"}')
_GROUP = 100


class Nonsense(msgspec.Struct, frozen=True):
    """What no rule knows: it raises."""


class Caller:
    """One call's story, as the switch and the lanes would tell it."""

    def __init__(self, number: int) -> None:
        self.id = new_uuid()
        self.channel_id = f"17724420.{number}"
        self.flow_id = made_id(self.id, 1)
        self.pending: dict[type[Command], Command] = {}

    def ended(self, kind: type[ToSwitch]) -> Tell:
        """The end of the newest command of that kind."""
        return Tell("call", self.id, Ended(self.pending[kind], Done()))

    def told(self, told: Any) -> Tell:
        """Something for the call."""
        return Tell("call", self.id, told)


class Bench:
    """A store with one customer. `now` is the story's time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.customer = new_uuid()
        self.now = from_us(time.time_ns() // 1000)
        self._callers: dict[str, Caller] = {}
        store.subscribe(self._note)

    async def open(self) -> None:
        """Make the customer."""
        await self.store.start()
        await self.store.write(lambda tx: customers.add_customer(tx, self.customer, new_secret(), {}))

    def callers(self, count: int) -> list[Caller]:
        """That many who have not called yet."""
        new = [Caller(len(self._callers) + number) for number in range(count)]
        self._callers.update((caller.id, caller) for caller in new)
        return new

    def stages(self) -> list[Callable[[Caller], Tell]]:
        """What each call is told, in order."""
        channel = Channel(_SWITCH, "", False, "R. Miller", "+15550100123", "+15550100200")

        def arrived(caller: Caller) -> Tell:
            leg = msgspec.structs.replace(channel, id=caller.channel_id)
            return caller.told(Arrived(caller.id, self.customer, leg, _FLOW))

        def ring_time_over(caller: Caller) -> Tell:
            return Tell("activeflow", caller.flow_id, Due(Timer.LASTS, self.rung_at + timedelta(seconds=2)))

        def played(caller: Caller) -> Tell:
            play = caller.pending[Play]
            assert isinstance(play, Play)
            return caller.told(PlaybackFinished(_SWITCH, caller.channel_id, play.playback_id))

        return [
            arrived,
            lambda caller: caller.ended(Follow),
            lambda caller: caller.ended(Ring),
            ring_time_over,
            lambda caller: caller.ended(Answer),
            lambda caller: caller.told(ChannelAnswered(_SWITCH, caller.channel_id)),
            lambda caller: caller.told(Due("go_on", self.now)),
            lambda caller: caller.ended(Play),
            played,
            lambda caller: caller.told(ChannelGone(_SWITCH, caller.channel_id)),
            lambda caller: caller.ended(HangUp),
        ]

    async def tell(self, callers: Sequence[Caller], group: int) -> int:
        """Tell these calls from beginning to end; how many inputs that were."""
        count = 0
        for place, stage in enumerate(self.stages()):
            await self.tell_stage(callers, stage, place, group)
            count += len(callers)
        return count

    async def tell_stage(
        self, callers: Sequence[Caller], stage: Callable[[Caller], Tell], place: int, group: int
    ) -> None:
        """Tell each of these calls the same thing, so many in a write."""
        if place == 2:
            self.rung_at = self.now
        units = [self.unit(stage(caller)) for caller in callers]
        for some in _in_groups(units, group):
            check(await self.store.apply(some))
        if place == 2:
            self.now += timedelta(seconds=2)

    def unit(self, tell: Tell, *, is_asked: bool = False) -> Unit:
        """One root input."""
        return Unit((tell,), self.now, is_asked)

    def _note(self, committed: Committed) -> None:
        for order in committed.orders:
            if order.id in self._callers:
                self._callers[order.id].pending[type(order.pending.command)] = order.pending.command


def check(results: Iterable[Result]) -> None:
    """All of them were done."""
    assert all(result.is_done for result in results)


async def measured(work: Callable[[], Awaitable[int]]) -> float:
    """Microseconds of CPU for each of what `work` says that it did."""
    cpu = time.process_time()
    count = await work()
    return (time.process_time() - cpu) / count * 1e6


async def bare_events(bench: Bench, count: int, group: int) -> int:
    """Events alone, so many in a write."""
    for first in range(0, count, group):
        events = [NewEvent(bench.customer, "call_updated", f"call/{first + n}", _PAYLOAD) for n in range(group)]
        await bench.store.write(lambda tx, events=events: [tx.add_event(event) for event in events])  # type: ignore[misc]
    return count


async def compare(bench: Bench, call_count: int) -> None:
    """Root inputs and bare events, grouped and alone; and inputs that change nothing."""
    for name, group, count in (("100 a group", _GROUP, call_count), ("alone", 1, max(call_count // 8, 1))):
        await bench.tell(bench.callers(min(count, _GROUP)), group)
        callers = bench.callers(count)
        root = await measured(lambda: bench.tell(callers, group))  # noqa: B023 - it runs at once
        bare = await measured(lambda: bare_events(bench, count * 10, group))  # noqa: B023
        late = await measured(lambda: again(bench, callers, group))  # noqa: B023
        print(
            f"  {name:<12} {root:7.0f} us a root input   {bare:6.0f} us a bare event   {root / bare:5.1f} times   "
            f"{late:6.0f} us a late one that changes nothing"
        )


async def again(bench: Bench, callers: Sequence[Caller], group: int) -> int:
    """Tell calls that are over that they are."""
    units = [bench.unit(caller.told(ChannelGone(_SWITCH, caller.channel_id))) for caller in callers]
    for some in _in_groups(units, group):
        check(await bench.store.apply(some))
    return len(units)


async def neighbours(bench: Bench, call_count: int) -> None:
    """What ten inputs in a hundred that raise cost the other ninety, against a hundred that do not: by turns."""
    quiet, disturbed = [], []
    for _ in range(max(call_count // _GROUP, 1) * 5):
        quiet.append(await _early_stages(bench, is_disturbed=False) / _GROUP)
        disturbed.append(await _early_stages(bench, is_disturbed=True) / (_GROUP - 10))
    for name, some in (("none raises", quiet), ("10 of 100 raise", disturbed)):
        print(f"  {name:<16} {median(some) * 1e6:6.0f} us a good input")
    print(f"  a neighbour pays {median(disturbed) / median(quiet):.2f} times")


async def _early_stages(bench: Bench, *, is_disturbed: bool) -> float:
    """Seconds of CPU for one of the first things that new calls are told, a tenth of it nonsense or not."""
    callers = bench.callers(_GROUP)
    spent_s = []
    for place, stage in enumerate(bench.stages()[:3]):
        if place == 2:
            bench.rung_at = bench.now
        units = [bench.unit(stage(caller)) for caller in callers]
        if place and is_disturbed:
            units[::10] = [bench.unit(caller.told(Nonsense()), is_asked=True) for caller in callers[::10]]
        cpu = time.process_time()
        await bench.store.apply(units)
        spent_s.append(time.process_time() - cpu)
    return sum(spent_s[1:]) / 2


async def lag(bench: Bench, call_count: int, seconds: float, rate: int) -> None:
    """How long the event loop stood still while calls are told at that rate, with others that live."""
    living = bench.callers(call_count)
    kept = []
    bench.store.subscribe(lambda committed: kept.extend(committed.changes))
    for place, stage in enumerate(bench.stages()[:3]):
        await bench.tell_stage(living, stage, place, _GROUP)
    for name in ("as Python comes", "as a node runs"):
        gc.unfreeze()
        gc.set_threshold(700, 10, 10)
        if name == "as a node runs":
            exempt_what_is_there()
        before = gc.get_stats()[2]["collections"]
        worst_s, count = await _paced(bench, seconds, rate)
        fulls = gc.get_stats()[2]["collections"] - before
        print(
            f"  {name:<16} worst lag {worst_s * 1e3:5.0f} ms at {count / seconds:5.0f} inputs a second, "
            f"{2 * call_count} live rows, {fulls} full collections"
        )
    gc.unfreeze()


async def _paced(bench: Bench, seconds: float, rate: int) -> tuple[float, int]:
    worst_s, count = 0.0, 0
    is_over = asyncio.Event()

    async def watch() -> None:
        nonlocal worst_s
        while not is_over.is_set():
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            worst_s = max(worst_s, time.perf_counter() - due)

    watching = asyncio.ensure_future(watch())
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        if count > spent * rate:
            await asyncio.sleep(count / rate - spent)
        callers = bench.callers(_GROUP)
        for place, stage in enumerate(bench.stages()):
            await bench.tell_stage(callers, stage, place, _GROUP)
            count += _GROUP
            ahead_s = count / rate - (time.perf_counter() - start)
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
    is_over.set()
    await watching
    return worst_s, count


def _in_groups(units: Sequence[Unit], group: int) -> Iterable[Sequence[Unit]]:
    return (units[first : first + group] for first in range(0, len(units), group))


async def main(url: str, calls: int, seconds: float) -> None:
    """Everything, on one database."""
    bench = Bench(Store(Database(url), NOUNS, COMMAND_TYPE))
    await bench.open()
    print("PostgreSQL" if url.startswith("postgres") else "SQLite")
    await compare(bench, calls)
    await neighbours(bench, calls)
    await lag(bench, calls * 10, seconds, 3_000)
    await bench.store.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--database", help="an empty PostgreSQL database")
    arguments = parser.parse_args()
    # As a node logs, but for the writing.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    with tempfile.TemporaryDirectory() as folder:
        where = arguments.database or sqlite_url(Path(folder) / "offhook.db")
        uvloop.run(main(where, arguments.calls, arguments.seconds))
