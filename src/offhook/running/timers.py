"""Telling rows of the time: what is due, when it is.

Theory of operation. Only timers that are due within ten minutes are here; every five minutes the next ones are read,
and commits keep them current. What is due is measured by the store's clock, by which rows are decided; what is waited
by the loop's, and never for long, so that a clock which is set loses nothing.

What a row's timers wait for (`waits_for`: its switch) may be out of reach: then they are held until it is back.

A timer that was told is not told again before its row is seen to have changed; where nothing comes of it, once more
with the next reading.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from offhook.domain.step import Due, Tell
from offhook.domain.times import from_us
from offhook.running.following import READ_PAUSE, Follower, Key
from offhook.running.port import Committed, Store
from offhook.running.runner import Runner
from offhook.store.commit.port import Row
from offhook.store.commit.unit import Result

HORIZON = timedelta(minutes=10)
"""How far ahead timers are kept in memory."""
PERIOD = timedelta(minutes=5)
"""How often they are read."""
LOOK_AGAIN = timedelta(seconds=30)
"""The longest time that is slept: the clock may have been set."""

# Places in a heap that mean nothing any more, beside one for each row, before it is made anew.
_MAX_STALE = 1_000
_SHORTEST_S = 0.001

Timer = tuple[str, datetime]
"""Its name, and when it is due."""


class _Armed:
    """A row's timers. `told` are those that were told; True once that was decided and the row had not changed.

    `waits_for` is what has to be within reach for them to go.
    """

    __slots__ = ("change_count", "timers", "told", "waits_for")

    def __init__(self) -> None:
        self.waits_for = ""
        self.timers: Mapping[str, datetime] = {}
        self.told: dict[Timer, bool] = {}
        self.change_count = 0

    def change(self, timers: Mapping[str, datetime], waits_for: str) -> None:
        """Take over what the row has now."""
        self.timers, self.waits_for = timers, waits_for
        self.change_count += 1
        self.told = {timer: is_futile for timer, is_futile in self.told.items() if timers.get(timer[0]) == timer[1]}

    @property
    def next_at(self) -> datetime | None:
        """When the next one is due that was not told."""
        return min((at for name, at in self.timers.items() if (name, at) not in self.told), default=None)

    def due(self, now: datetime) -> list[Timer]:
        """Those that are due and were not told."""
        return [timer for timer in self.timers.items() if timer[1] <= now and timer not in self.told]


class Timers(Follower):
    """Tells what is due. `waits_for` says of a row what has to be within reach for its timers to go ("": nothing).

    `horizon`, `period` and `look_again` as above.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        waits_for: Callable[[Row], str],
        *,
        horizon: timedelta = HORIZON,
        period: timedelta = PERIOD,
        look_again: timedelta = LOOK_AGAIN,
        read_pause: timedelta = READ_PAUSE,
    ) -> None:
        super().__init__(store, read_pause)
        self._runner = runner
        self._waits_for = waits_for
        self._horizon = horizon
        self._period_s = period.total_seconds()
        self._look_again_s = look_again.total_seconds()
        self._until = from_us(0)
        self._rows: dict[Key, _Armed] = {}
        # By what they wait for.
        self._heaps: dict[str, list[tuple[datetime, Key]]] = {}
        self._decided: deque[tuple[Key, Timer, int, bool]] = deque()
        self._held: set[str] = set()
        self._read_at_s = 0.0
        self._is_closing = False

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "timers"

    @property
    def row_count(self) -> int:
        """How many rows have a timer that is due soon."""
        return len(self._rows)

    @property
    def place_count(self) -> int:
        """How many places in the queues they take, with those that mean nothing any more."""
        return sum(map(len, self._heaps.values()))

    def hold(self, waited_for: str) -> None:
        """Timers that wait for this do not go until they are released. At first all go."""
        self._held.add(waited_for)

    def release(self, waited_for: str) -> None:
        """Timers that wait for this go, those that became due meanwhile at once."""
        self._held.discard(waited_for)
        self._wake.set()

    async def run(self) -> None:
        """Tell until stopped."""
        while not self._is_closing:
            if _now_s() >= self._read_at_s + self._period_s:
                self._read_again()
            self._wake.clear()
            has_read = await self._follow()
            self._take_decided()
            self._tell_due()
            await self._sleep(has_read=has_read)

    async def stop(self) -> None:
        """Tell nothing more."""
        self._is_closing = True
        self._wake.set()

    # What is due soon

    async def _read(self) -> Sequence[Row]:
        read_at_s, until = _now_s(), self._now() + self._horizon
        rows = await self._store.read(lambda connection: self._store.tables.due(connection, until))
        self._read_at_s, self._until = read_at_s, until
        return rows

    def _take_snapshot(self, rows: Sequence[Row], touched: Collection[Key]) -> None:
        found = {(row.kind, row.id) for row in rows} | set(touched)
        for key in self._rows.keys() - found:
            self._forget(key)
        for row in rows:
            armed = self._armed(row)
            armed.told = {timer: is_futile for timer, is_futile in armed.told.items() if not is_futile}
            self._change(row, armed)

    def _take(self, committed: Committed) -> None:
        for write in committed.changes:
            row, due_at = write.row, write.row.due_at
            if due_at is None or due_at > self._until:
                self._forget((row.kind, row.id))
            else:
                self._change(row, self._armed(row))

    def _change(self, row: Row, armed: _Armed) -> None:
        armed.change(row.document.timers, self._waits_for(row))
        self._put_in_heap((row.kind, row.id), armed)

    def _caught_up(self) -> None:
        pass

    def _armed(self, row: Row) -> _Armed:
        return self._rows.setdefault((row.kind, row.id), _Armed())

    def _forget(self, key: Key) -> None:
        self._rows.pop(key, None)

    def _put_in_heap(self, key: Key, armed: _Armed) -> None:
        at = armed.next_at
        if at is None:
            return
        heap = self._heaps.setdefault(armed.waits_for, [])
        heapq.heappush(heap, (at, key))
        if len(heap) > 2 * len(self._rows) + _MAX_STALE:
            mine = [(one.next_at, key) for key, one in self._rows.items() if one.waits_for == armed.waits_for]
            heap[:] = [(at, key) for at, key in mine if at is not None]
            heapq.heapify(heap)

    # What is due

    def _tell_due(self) -> None:
        now = self._now()
        for waits_for, heap in self._heaps.items():
            while waits_for not in self._held and heap and heap[0][0] <= now:
                at, key = heapq.heappop(heap)
                armed = self._rows.get(key)
                if armed is not None and armed.next_at == at and armed.waits_for == waits_for:
                    self._tell(key, armed, now)

    def _tell(self, key: Key, armed: _Armed, now: datetime) -> None:
        for timer in armed.due(now):
            armed.told[timer] = False
            answer = self._runner.submit(Tell(*key, Due(*timer)))
            answer.add_done_callback(partial(self._was_decided, key, timer, armed.change_count))
        self._put_in_heap(key, armed)

    def _was_decided(self, key: Key, timer: Timer, change_count: int, answer: asyncio.Future[Result]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._decided.append((key, timer, change_count, answer.result().is_done))
            self._wake.set()

    def _take_decided(self) -> None:
        """What was told and is there all the same: set again to the same time, or nothing came of it."""
        while self._decided:
            key, timer, change_count, is_done = self._decided.popleft()
            armed = self._rows.get(key)
            if armed is None or timer not in armed.told:
                continue
            if is_done and armed.change_count > change_count:
                del armed.told[timer]
                self._put_in_heap(key, armed)
            else:
                armed.told[timer] = True

    # Time

    def _now(self) -> datetime:
        return from_us(self._store.clock.now_us())

    async def _sleep(self, *, has_read: bool) -> None:
        longest_s = self._look_again_s
        nexts = [heap[0][0] for waits_for, heap in self._heaps.items() if heap and waits_for not in self._held]
        if nexts:
            longest_s = min(longest_s, (min(nexts) - self._now()).total_seconds())
        reading_s = self._read_at_s + self._period_s - _now_s() if has_read else self._read_pause_s
        longest_s = min(longest_s, reading_s)
        try:
            async with asyncio.timeout(max(longest_s, _SHORTEST_S)):
                await self._wake.wait()
        except TimeoutError:
            pass


def _now_s() -> float:
    return asyncio.get_running_loop().time()
