"""The runner: everything that is told is decided, in the order in which it was told.

Theory of operation. There is one inbox and one write at a time: while the database makes one durable, the next gathers.
A write that fails is repeated with a growing pause before anything that was told later, so that nothing is lost or
overtaken. Only what somebody waits for is taken out of it, and answered: nobody should wait for the database to come
back, and who is told that nothing was accepted may ask again. All rules accept being told twice, so it does no harm if
a write whose end is not known is repeated though it was committed.

What fails for another reason than the database being away is repeated too, but one unit at a time, until things go
well again: what came before the one that is to blame is then done, and the log names it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from offhook.domain.errors import UnavailableError
from offhook.domain.step import Tell
from offhook.domain.times import from_us
from offhook.node.backoff import Backoff
from offhook.node.service import Service
from offhook.running.answers import state_of, stopping, too_late
from offhook.running.port import Store
from offhook.store.commit.unit import Result, Unit

MAX_UNITS = 200
"""How many units are decided in one write."""
FIRST_PAUSE = timedelta(seconds=0.2)
LONGEST_PAUSE = timedelta(seconds=5)
ASK_PATIENCE = timedelta(seconds=10)
STOP_PATIENCE = timedelta(seconds=5)

log = structlog.get_logger()


class _Input:
    """A unit in the inbox. `at` is what it is decided as of; `answer` is there if somebody wants the result."""

    __slots__ = ("answer", "at", "customer_id", "is_asked", "is_begun", "is_withdrawn", "tells")

    def __init__(
        self,
        tells: tuple[Tell, ...],
        at: datetime,
        answer: asyncio.Future[Result] | None = None,
        *,
        is_asked: bool = False,
        customer_id: str = "",
    ) -> None:
        self.tells = tells
        self.at = at
        self.answer = answer
        self.is_asked = is_asked
        self.customer_id = customer_id
        self.is_begun = False
        self.is_withdrawn = False

    def fail(self, error: Exception) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)
            # Whoever waited may have gone.
            self.answer.exception()


class Runner(Service):
    """Decides what it is told. `first_pause` and `longest_pause` are those between two tries of a write.

    `ask_patience` bounds how long an answer is waited for, `stop_patience` how long a stop waits for the inbox.
    """

    def __init__(
        self,
        store: Store,
        *,
        first_pause: timedelta = FIRST_PAUSE,
        longest_pause: timedelta = LONGEST_PAUSE,
        ask_patience: timedelta = ASK_PATIENCE,
        stop_patience: timedelta = STOP_PATIENCE,
    ) -> None:
        self._store = store
        self._backoff = Backoff(first_pause.total_seconds(), longest_pause.total_seconds())
        self._ask_patience_s = ask_patience.total_seconds()
        self._stop_patience_s = stop_patience.total_seconds()
        self._inbox: deque[_Input] = deque()
        self._writing_count = 0
        self._max_units = MAX_UNITS
        self._wake = asyncio.Event()
        self._is_closing = self._is_over = False
        self._ended = asyncio.Event()
        self._ended.set()
        self.dropped_count = 0
        """How many inputs that nobody waited for could not be decided."""

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "runner"

    @property
    def waiting_count(self) -> int:
        """How many inputs are not decided yet, or not committed."""
        return len(self._inbox) + self._writing_count

    def tell(self, *tells: Tell, at: datetime | None = None) -> None:
        """Have these inputs decided as of `at`, which is when they were heard, or now. They are one unit.

        Nobody learns what became of it; it is repeated until it is committed.
        """
        self._put(_Input(tells, at or self._now()))

    def submit(self, *tells: Tell) -> asyncio.Future[Result]:
        """As `tell`; the future has the result once that is committed and every listener of the store was told.

        It raises UnavailableError if the runner ends before.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._put(_Input(tells, self._now(), answer))
        return answer

    async def tell_and_wait(self, *tells: Tell) -> Result:
        """As `submit`. Whoever is cancelled while waiting has told it all the same.

        Without any tell: wait until everything that was told before is committed.
        """
        return await self.submit(*tells)

    async def ask(self, customer_id: str, tell: Tell) -> Any:
        """Have an input decided for somebody who waits: the state of the row after it, once that is committed.

        `customer_id` is whose rows may be seen; "" for anybody's. Raises OffhookError as it was refused, and
        UnavailableError: nothing was done, unless its reason is OUTCOME_UNKNOWN. What was asked is done all the same if
        whoever asked is cancelled.
        """
        if self._is_closing:
            raise stopping()
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        asked = _Input((tell,), self._now(), answer, is_asked=True, customer_id=customer_id)
        self._put(asked)
        await asyncio.wait((answer,), timeout=self._ask_patience_s)
        if not answer.done():
            asked.is_withdrawn = not asked.is_begun
            raise too_late(was_begun=asked.is_begun)
        return state_of(answer.result())

    async def run(self) -> None:
        """Decide until stopped."""
        self._ended.clear()
        try:
            while self._inbox or not self._is_closing:
                await self._wake.wait()
                self._wake.clear()
                while batch := self._batch():
                    await self._write(batch)
        finally:
            self._is_closing = self._is_over = True
            for one in self._inbox:
                one.fail(stopping())
            self._ended.set()

    async def stop(self) -> None:
        """Decide what is in the inbox, and end. What cannot be written in time is lost: a start finds out anew."""
        self._is_closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(self._stop_patience_s):
                await self._ended.wait()
        except TimeoutError:
            log.error("running.inputs_lost", count=self.waiting_count, hint="the database could not be written")

    def _now(self) -> datetime:
        # Taken when it is told: while the database is away, what is heard later must not have to be later than the end
        # of that.
        return from_us(self._store.clock.now_us())

    def _put(self, one: _Input) -> None:
        if self._is_over:
            one.fail(stopping())
            return
        self._inbox.append(one)
        self._wake.set()

    def _batch(self) -> list[_Input]:
        batch: list[_Input] = []
        while self._inbox and len(batch) < self._max_units:
            one = self._inbox.popleft()
            if not one.is_withdrawn:
                one.is_begun = True
                batch.append(one)
        return batch

    async def _write(self, batch: Sequence[_Input]) -> None:
        units = [Unit(one.tells, one.at, one.is_asked, one.customer_id) for one in batch]
        self._writing_count = len(batch)
        try:
            results = await self._store.apply(units)
        except Exception as error:
            self._writing_count = 0
            await self._put_back(batch, error)
            return
        except asyncio.CancelledError:
            for one in batch:
                one.fail(too_late(was_begun=True))
            raise
        self._writing_count = 0
        self._backoff.reset()
        self._max_units = min(self._max_units * 2, MAX_UNITS)
        for one, result in zip(batch, results, strict=True):
            self._ended_as(one, result)

    async def _put_back(self, batch: Sequence[_Input], error: Exception) -> None:
        """Answer those who wait, and try the others again before anything else."""
        for one in batch:
            if one.is_asked:
                one.fail(error)
        left = [one for one in batch if not one.is_asked]
        first = next((tell for one in left for tell in one.tells), None)
        told = {"kind": first.kind, "id": first.id, "input": type(first.input).__name__} if first else {}
        if isinstance(error, UnavailableError):
            log.warning("running.write_postponed", count=len(left), error=error.message)
        else:
            self._max_units = 1
            log.error("running.write_failed", count=len(left), exc_info=error, **told)
        if left:
            self._inbox.extendleft(reversed(left))
            await asyncio.sleep(self._backoff.pause_s())

    def _ended_as(self, one: _Input, result: Result) -> None:
        if not result.is_done and not one.is_asked:
            self._log_dropped(result)
        if one.answer is not None and not one.answer.done():
            one.answer.set_result(result)

    def _log_dropped(self, result: Result) -> None:
        """A rule raised, and its row could not even be ended. (What raised is logged by the store.)"""
        self.dropped_count += 1
        for fault in result.faults:
            log.error("running.input_dropped", kind=fault.kind, id=fault.id, input=fault.input, error=repr(fault.error))
