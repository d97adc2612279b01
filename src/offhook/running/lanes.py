"""Carrying out what was committed: a lane for each thing whose order counts.

Theory of operation. Commands come from commits, whoever made them, and at the start from the rows that are open. What
is pending in a row is known here by its number until a commit shows that it is pending no more: so an order that is
told twice, or read again, is carried out once. A lane that has something to do has a task; one that stands still, or
has nothing to do, has none. How a command ended is told to the runner in the lane's order.

Lanes stand still while what was committed is not known: a command with a lower number may be among it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

import structlog

from offhook.domain.step import Command, Ended, Tell
from offhook.running import execution
from offhook.running.execution import Execution
from offhook.running.following import READ_PAUSE, Follower, Key
from offhook.running.lane import Lane, Waiting
from offhook.running.port import Carrier, Committed, Store
from offhook.running.runner import Runner
from offhook.store.commit.port import Order, Row

STOP_PATIENCE = timedelta(seconds=5)

log = structlog.get_logger()


class Lanes(Follower):
    """Carries commands out. `first_pause` and `longest_pause` are those between two tries of a command.

    `longest_request` is when a carrier's answer is not waited for any more, `stop_patience` how long a stop waits for
    the requests that are under way.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        *,
        first_pause: timedelta = execution.FIRST_PAUSE,
        longest_pause: timedelta = execution.LONGEST_PAUSE,
        longest_request: timedelta = execution.LONGEST_REQUEST,
        stop_patience: timedelta = STOP_PATIENCE,
        read_pause: timedelta = READ_PAUSE,
    ) -> None:
        super().__init__(store, read_pause)
        self._runner = runner
        self._execution = Execution(
            runner,
            self._stands_still,
            first_pause=first_pause,
            longest_pause=longest_pause,
            longest_request=longest_request,
        )
        self._stop_patience_s = stop_patience.total_seconds()
        self._lanes: dict[str, Lane] = {}
        self._known: dict[Key, dict[int, Waiting]] = {}
        self._closed: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._has_begun = False
        self._is_closing = False
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "command lanes"

    @property
    def pending_count(self) -> int:
        """How many commands there are whose end is not committed."""
        return sum(map(len, self._known.values()))

    @property
    def lane_count(self) -> int:
        """How many lanes have something waiting."""
        return len(self._lanes)

    @property
    def task_count(self) -> int:
        """How many lanes are at work."""
        return sum(lane.is_at_work for lane in self._lanes.values())

    def register(
        self, command_type: type[Command], carrier: Carrier, *, max_requests: int = execution.MAX_REQUESTS
    ) -> None:
        """Commands of that type, and of those below it, are carried out by `carrier`, so many at the same time."""
        self._execution.register(command_type, carrier, max_requests)

    def open(self, name: str) -> None:
        """The lanes `name`/... go. At first all do."""
        self._closed.discard(name)
        self._start_all()

    def close(self, name: str) -> None:
        """The lanes `name`/... stand still: what is under way comes to its end, and nothing more is sent."""
        self._closed.add(name)
        for lane in self._lanes.values():
            lane.wake.set()

    async def run(self) -> None:
        """Carry out until stopped."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                while not self._is_closing:
                    await self._wake.wait()
                    self._wake.clear()
                    if not await self._follow():
                        await asyncio.sleep(self._read_pause_s)
                        self._wake.set()
        finally:
            self._group = None
            self._ended.set()

    async def stop(self) -> None:
        """Begin nothing more, and wait for what is under way. What does not end in time is looked for by a start."""
        self._is_closing = True
        self._wake.set()
        for lane in self._lanes.values():
            lane.wake.set()
        try:
            async with asyncio.timeout(self._stop_patience_s):
                await self._ended.wait()
        except TimeoutError:
            log.warning("running.commands_abandoned", count=self.task_count)

    # What is pending

    async def _read(self) -> Sequence[Row]:
        return await self._store.read(self._store.tables.open)

    def _take_snapshot(self, rows: Sequence[Row], touched: Collection[Key]) -> None:
        found = {(row.kind, row.id): row for row in rows}
        for key in [key for key in self._known if key not in found and key not in touched]:
            self._forget(key, ())
        for key in found.keys() & self._known.keys():
            self._forget(key, _numbers(found[key]))
        orders = [order for row in rows for order in _orders(row)]
        for order in sorted(orders, key=lambda order: order.pending.number):
            self._add(order, is_old=not self._has_begun)

    def _take(self, committed: Committed) -> None:
        for order in committed.orders:
            self._add(order, is_old=False)
        for write in committed.changes:
            row = write.row
            self._forget((row.kind, row.id), _numbers(row))
            for order in _orders(row):
                # Beside its new ones: known already, but for rows that were told of while a snapshot was read.
                self._add(order, is_old=not self._has_begun)

    def _caught_up(self) -> None:
        self._has_begun = True
        self._start_all()

    def _add(self, order: Order, *, is_old: bool) -> None:
        known = self._known.setdefault((order.kind, order.id), {})
        if order.pending.number in known:
            return
        name = order.pending.command.lane
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name)
        one = known[order.pending.number] = Waiting(order, lane, is_old=is_old)
        lane.add(one)
        self._start(lane)

    def _forget(self, key: Key, numbers: Collection[int]) -> None:
        """Of this row only these commands are pending."""
        known = self._known.get(key)
        if known is None:
            return
        for number in known.keys() - numbers:
            one = known.pop(number)
            one.lane.remove(one)
            self._drop_if_empty(one.lane)
        if not known:
            del self._known[key]

    # The lanes

    def _stands_still(self, lane: Lane) -> bool:
        return (
            self._is_closing
            or self.is_behind
            or (bool(self._closed) and any(lane.name.startswith(f"{name}/") for name in self._closed))
        )

    def _may_go(self, one: Waiting) -> bool:
        if self._is_closing or self.is_behind:
            return False
        # To say that something was not done, nobody has to be asked.
        return one.is_pointless or not self._stands_still(one.lane)

    def _start_all(self) -> None:
        for lane in self._lanes.values():
            self._start(lane)

    def _start(self, lane: Lane) -> None:
        first = lane.first
        if first is None or lane.is_at_work or self._group is None or not self._may_go(first):
            return
        lane.is_at_work = True
        self._group.create_task(self._work(lane), name=f"lane {lane.name}")

    async def _work(self, lane: Lane) -> None:
        try:
            while (one := lane.first) is not None and self._may_go(one):
                outcome = await self._execution.once(one)
                if outcome is not None:
                    lane.remove(one)
                    self._runner.tell(Tell(one.order.kind, one.order.id, Ended(one.command, outcome)))
        finally:
            lane.is_at_work = False
        self._drop_if_empty(lane)

    def _drop_if_empty(self, lane: Lane) -> None:
        # There may be another one of that name by now.
        if lane.first is None and not lane.is_at_work and self._lanes.get(lane.name) is lane:
            del self._lanes[lane.name]


def _orders(row: Row) -> list[Order]:
    return [Order(row.kind, row.id, pending) for pending in row.document.pending]


def _numbers(row: Row) -> set[int]:
    return {pending.number for pending in row.document.pending}
