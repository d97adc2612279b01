"""A process with a runner, lanes and timers, which a test can stop or kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from offhook.domain.step import Command, Tell
from offhook.node.service import Service
from offhook.running.lanes import Lanes
from offhook.running.port import Carrier
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.store.commit.port import Row
from offhook.store.commit.unit import Result
from tests.running.unsteady import UnsteadyDatabase


def ms(count: float) -> timedelta:
    return timedelta(milliseconds=count)


class Process:
    """One life. All spans are a hundredth of what they are by default, or what a test says."""

    def __init__(
        self,
        database: UnsteadyDatabase,
        carrier: Carrier,
        command_type: type[Command],
        *,
        runner: dict[str, timedelta] | None = None,
        lanes: dict[str, timedelta] | None = None,
        timers: dict[str, timedelta] | None = None,
        waits_for: Callable[[Row], str] = lambda row: row.kind,
    ) -> None:
        self.database = database
        self.store = database.store()
        self.runner = Runner(
            self.store, **{"first_pause": ms(2), "longest_pause": ms(50), "stop_patience": ms(500), **(runner or {})}
        )
        fast = {"first_pause": ms(2), "longest_pause": ms(20), "stop_patience": ms(500), "read_pause": ms(5)}
        self.lanes = Lanes(self.store, self.runner, **{**fast, **(lanes or {})})
        self.lanes.register(command_type, carrier)
        quick = {"look_again": ms(20), "read_pause": ms(5), **(timers or {})}
        self.timers = Timers(self.store, self.runner, waits_for, **quick)
        self._tasks: dict[Service, asyncio.Task[None]] = {}

    async def start(self) -> Process:
        for service in (self.runner, self.lanes, self.timers):
            await service.start()
            self._tasks[service] = asyncio.create_task(service.run())
        return self

    async def stop(self) -> None:
        for service in (self.timers, self.lanes, self.runner):
            await service.stop()
        await self.kill()

    async def kill(self) -> None:
        """Nothing of it does anything any more. Raises what a service ended of."""
        for task in self._tasks.values():
            task.cancel()
        ended = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        for error in ended:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error

    async def tell(self, *tells: Tell) -> Result:
        return await self.runner.tell_and_wait(*tells)

    async def until_quiet(self, timeout_s: float = 20.0) -> None:
        """Until everything that was told is decided and nothing is pending."""

        def is_quiet() -> bool:
            is_known = not self.lanes.is_behind and self.lanes.pending_count == 0
            return is_known and not self.database.pending_rows and self.runner.waiting_count == 0

        await until(is_quiet, "nothing is pending", timeout_s)


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Wait until `condition`; `what` it is, for the message of a test that fails."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s} s: {what}") from None
