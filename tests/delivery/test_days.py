"""The whole engine over simulated days: a real store, a scripted sender, and a loop whose clock jumps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from offhook.delivery import engine as engine_module
from offhook.delivery.engine import Engine, EngineSettings
from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.recorder import Recorder
from offhook.domain.delivery.outcome import Outcome
from offhook.domain.delivery.retry import DEFAULT_SCHEDULE
from offhook.node.clock import SteadyClock
from offhook.outbound.port import AttemptResult, OutgoingRequest
from offhook.store.database.database import Database
from offhook.store.store import Store
from tests.delivery.node import Node, until

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its time runs as usual, and can be moved forward to what is scheduled next."""

    jumped_s = 0.0

    def time(self) -> float:
        return super().time() + self.jumped_s

    def jump(self, at_most_s: float) -> None:
        """To the next timer, or by `at_most_s`; not while one whose time has come still waits for its turn."""
        if self._ready:  # type: ignore[attr-defined]
            return
        times = [handle.when() for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        wait_s = min(min(times, default=1e18) - self.time(), at_most_s)
        self.jumped_s += max(0.0, wait_s)


class JumpingClock(SteadyClock):
    """The store's clock, moved with the loop's."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def now_us(self) -> int:
        return super().now_us() + int(self._loop.jumped_s * 1e6)


class ScriptedSender:
    """Answers at once, and keeps when it was asked (seconds of the loop) and for what."""

    def __init__(self, loop: JumpingLoop) -> None:
        self._loop = loop
        self.outcome = Outcome.SERVER_ERROR
        self.asked: list[tuple[float, str, int]] = []

    async def send(self, request: OutgoingRequest) -> AttemptResult:
        headers = request.headers.as_dict()
        self.asked.append((self._loop.time(), headers["webhook-id"], int(headers["offhook-attempt"])))
        return AttemptResult(self.outcome, 500, 1, b"", None, "")

    async def close(self) -> None:
        pass


class World(Node):
    """A node in simulated time."""

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        self.loop = loop
        self.store = await self.running.add(Store(Database(self.database_url)))
        self.store.clock = JumpingClock(loop)
        self.scripted = ScriptedSender(loop)
        self.recorder = await self.running.add(Recorder(self.store, self.settings.drain_time))
        metrics = DeliveryMetrics(CollectorRegistry())
        self.engine = await self.running.add(Engine(self.store, self.recorder, self.scripted, self.settings, metrics))

    async def settle(self) -> None:
        """Let everything happen that needs no time to pass."""
        quiet = 0
        while quiet < 2:
            await self.store.write(lambda tx: None)
            await self.store.read(lambda connection: None)
            quiet = 0 if self._is_busy() else quiet + 1

    def _is_busy(self) -> bool:
        engine = self.engine
        is_loading = any(queue.is_loading for queue in engine._queues)
        return is_loading or engine._in_flight_count > 0 or self.recorder.unwritten_count > 0

    async def live(self, seconds: float) -> None:
        """Let `seconds` pass, from one timer to the next."""
        end_s = self.loop.time() + seconds
        await self.settle()
        while (left_s := end_s - self.loop.time()) > 0:
            self.loop.jump(left_s)
            await self.settle()


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    # The safety net would find what the mechanism loses.
    monkeypatch.setattr(engine_module, "_SWEEP_S", 1e9)

    def run(story: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            world = World(tmp_path, EngineSettings("Offhook/test"))
            await world.start()
            try:
                await story(world)
            finally:
                await world.stop()

        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(main())

    return run


Simulate = Callable[[Callable[[World], Awaitable[None]]], None]


def test_twelve_attempts_by_the_schedule_and_then_exhausted(simulate: Simulate) -> None:
    async def story(world: World) -> None:
        customer = await world.new_customer("http://127.0.0.1:9/hook")
        await world.publish(customer, ["call/a"])
        await world.live(4 * DAY_S)
        times = [at_s for at_s, _, _ in world.scripted.asked]
        assert [number for _, _, number in world.scripted.asked] == list(range(1, 13))
        for gap, (before_s, after_s) in zip(DEFAULT_SCHEDULE, itertools.pairwise(times), strict=True):
            assert 0.8 * gap.total_seconds() <= after_s - before_s <= 1.2 * gap.total_seconds() + 1
        (row,) = await world.deliveries(customer, "exhausted")
        assert row.attempt_count == 12

    simulate(story)


def test_five_days_without_a_success_disable_and_what_is_pending_is_held(simulate: Simulate) -> None:
    async def story(world: World) -> None:
        customer = await world.new_customer("http://127.0.0.1:9/hook")
        began_s = world.loop.time()
        while world.loop.time() - began_s < 4.9 * DAY_S:
            await world.publish(customer, ["call/a"])
            await world.live(6 * HOUR_S)
        assert await world.held_reason(customer) == ""
        await world.live(DAY_S)
        assert await world.held_reason(customer) == "failing"
        asked = len(world.scripted.asked)
        await world.live(3 * DAY_S)
        assert len(world.scripted.asked) == asked
        assert await world.deliveries(customer, "held")

    simulate(story)


def test_a_destination_that_is_back_after_a_day_gets_everything_once(simulate: Simulate) -> None:
    async def story(world: World) -> None:
        customer = await world.new_customer("http://127.0.0.1:9/hook")
        ids = await world.publish(customer, [f"call/{number}" for number in range(30)])
        await world.live(DAY_S)
        # It is probed with one event at a time, never more often than once a minute in the end.
        late = [at_s for at_s, _, _ in world.scripted.asked][-5:]
        assert min(after_s - before_s for before_s, after_s in itertools.pairwise(late)) > 59
        world.scripted.outcome = Outcome.SUCCEEDED
        world.scripted.asked.clear()
        ids += await world.publish(customer, ["call/new"])
        await world.live(3 * DAY_S)
        assert sorted(event_id for _, event_id, _ in world.scripted.asked) == sorted(ids)
        assert await world.pending_count() == 0

    simulate(story)


def test_an_event_that_fails_three_times_is_not_overtaken_and_after_a_minute_the_others_of_its_subject_pass(
    simulate: Simulate,
) -> None:
    async def story(world: World) -> None:
        customer = await world.new_customer("http://127.0.0.1:9/hook")
        (stuck,) = await world.publish(customer, ["call/a"])
        await until(lambda: world.scripted.asked, "the first attempt")
        failed_s = world.scripted.asked[0][0]
        (passing,) = await world.publish(customer, ["call/a"])
        await world.live(90)
        first_s = next(at_s for at_s, event_id, _ in world.scripted.asked if event_id == passing)
        assert 59.9 <= first_s - failed_s < 61  # the loop's clock and the events' are read one after the other
        before = [(event_id, number) for at_s, event_id, number in world.scripted.asked if at_s < first_s]
        assert before == [(stuck, number) for number in range(1, 5)]

    simulate(story)


def test_a_family_s_own_schedule_and_a_restart_in_the_middle_of_it(simulate: Simulate) -> None:
    async def story(world: World) -> None:
        await world.stop()
        retry = world.settings.retry
        world.use(retry=type(retry)(jitter=0, by_family={"call": (timedelta(hours=2), timedelta(hours=3))}))
        await world.start()
        customer = await world.new_customer("http://127.0.0.1:9/hook")
        await world.publish(customer, ["call/a"])
        await until(lambda: world.scripted.asked, "the first attempt")
        began_s = world.scripted.asked[0][0]
        await world.live(HOUR_S)
        await world.restart()
        await world.live(DAY_S)
        assert [(round((at_s - began_s) / HOUR_S, 1), number) for at_s, _, number in world.scripted.asked] == [
            (2.0, 2),
            (5.0, 3),
        ]
        assert len(await world.deliveries(customer, "exhausted")) == 1

    simulate(story)
