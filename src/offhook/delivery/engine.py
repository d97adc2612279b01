"""The delivery engine: every committed delivery is attempted until it succeeds, is given up, or is held.

Theory of operation. The store tells every commit, in order (`_on_commit`); each new delivery goes straight into its
destination's queue in memory, or, if that has no room, stays in the database until it is read again by due time. A
queue is *pumped* whenever something changed: as many workers begin as it has ready deliveries and free slots. A
worker takes one delivery after another, attempts it, and hands the outcome to `conclusions`, where the pure rules
(`domain.retry`, `domain.health`) decide and a record goes to the recorder. A lane goes on at once, without waiting
for the record: if the process dies in between, the delivery is sent once more under the same id.

A fault of ours in one destination's queue is nobody else's (`_restart_queue`): the queue reads again from the database
what it may have lost, and everything else goes on.

Nothing here is needed after a crash: what is pending in the database is read again at the next start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from offhook.delivery.backlog import BacklogReader
from offhook.delivery.conclusions import Attempt, Conclusions
from offhook.delivery.memory import Held, MemoryLimits
from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.queue import DestinationQueue
from offhook.delivery.queues import Queues
from offhook.delivery.recorder import Recorder
from offhook.domain.delivery.delivery import AttemptRecord, Delivery
from offhook.domain.delivery.delivery_log import LoggedDelivery, LoggedStatus
from offhook.domain.delivery.health import Health
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.errors import UnavailableError
from offhook.node.service import Service
from offhook.outbound.port import Sender
from offhook.store.commit.committed import Committed
from offhook.store.commit.destination_rows import destinations_with_pending
from offhook.store.queries.backlog import FOREVER_US, START, load_delivery
from offhook.store.store import Store

log = structlog.get_logger()

_PAUSE_S = 1.0
_SWEEP_S = 60.0
# So many destinations are taken up at a start before others have a turn.
_SURVEY_STEP = 100


class EngineSettings(msgspec.Struct, frozen=True):
    """What an operator may change."""

    user_agent: str
    retry: RetryPolicy = RetryPolicy()
    order_hold: timedelta = timedelta(seconds=60)
    slots_per_destination: int = 32
    max_in_flight: int = 2_048
    disable_after: timedelta = timedelta(days=5)
    drain_time: timedelta = timedelta(seconds=5)
    memory: MemoryLimits = MemoryLimits()


class Engine(Service):
    """Delivers. Needs a store and a recorder that run."""

    def __init__(
        self, store: Store, recorder: Recorder, sender: Sender, settings: EngineSettings, metrics: DeliveryMetrics
    ) -> None:
        self._store = store
        self._sender = sender
        self._settings = settings
        self._metrics = metrics
        self._queues = Queues(self._new_queue)
        self._held = Held()
        self._recorder = recorder
        self._backlog = BacklogReader(store, settings, on_progress=self._pump, on_fault=self._restart_queue)
        self._conclusions = Conclusions(settings, metrics, self._recorder)
        self._doubting = asyncio.Event()
        self._in_flight_count = 0
        self._starved: dict[int, DestinationQueue] = {}
        self._choked = False
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._workers: asyncio.TaskGroup | None = None
        recorder.listen(self._on_written)
        store.subscribe(self._on_commit)
        store.deliver_to(self._queues)
        metrics.watch(self.queue_lengths, lambda: (self._recorder.unwritten_count, store.group_count))

    @property
    def name(self) -> str:
        """As `/readyz` calls it."""
        return "delivery engine"

    async def start(self) -> None:
        """Find out who has something pending from before."""
        await self._survey(until_us=FOREVER_US)

    async def run(self) -> None:
        """Deliver."""
        self._ended.clear()
        try:
            await self._deliver()
        finally:
            self._workers = None
            self._ended.set()

    async def stop(self) -> None:
        """Begin nothing new, let attempts finish within the drain time, interrupt the rest."""
        self._draining = True
        try:
            async with asyncio.timeout(self._settings.drain_time.total_seconds()):
                await self._idle.wait()
        except TimeoutError:
            log.info("delivery.interrupted", count=self._in_flight_count)
        self._stopped.set()
        await self._ended.wait()

    def queue_lengths(self) -> tuple[int, int]:
        """How many deliveries are in memory and how many attempts are under way."""
        return self._held.count, self._in_flight_count

    def health_of(self, destination_key: int) -> Health | None:
        """How a destination is doing now; None if nothing newer is known than its row says."""
        queue = self._queues.get(destination_key)
        return None if queue is None or queue.is_stale or queue.destination is None else queue.health

    def behind(self, delivery: LoggedDelivery) -> int | None:
        """The position of the event of the same subject that it waits for now; None if it waits for no other."""
        queue = self._queues.get(delivery.destination_key)
        if queue is None or delivery.status is not LoggedStatus.PENDING or delivery.attempt_count:
            return None
        return queue.lanes.behind(delivery.subject, delivery.key)

    async def _deliver(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._workers = group
                loading = group.create_task(self._for_good(self._backlog.run()), name="delivery-backlog")
                sweeping = group.create_task(self._for_good(self._sweep()), name="delivery-sweep")
                for queue in list(self._queues):
                    self._pump(queue)
                await self._stopped.wait()
                for task in (sweeping, loading):
                    task.cancel()
                raise _StopError
        except* _StopError:
            pass

    async def _for_good(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what must not end before the engine does. A cancelled task would end its group's work unseen."""
        try:
            await work
        except asyncio.CancelledError:
            if self._stopped.is_set():
                raise
        raise RuntimeError("a part of the engine ended, and nobody asked it to")

    async def _sweep(self) -> None:
        """Every now and then forget who has nothing, and look whether the database holds what memory lacks."""
        while True:
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SWEEP_S if self._queues.is_surveyed else _PAUSE_S):
                        await self._doubting.wait()
                self._doubting.clear()
                for key in self._queues.forget_idle():
                    self._starved.pop(key, None)
                # A survey of all is only needed after a start, or a commit that nobody knows the outcome of.
                until_us = self._store.clock.now_us() if self._queues.is_surveyed else FOREVER_US
                await self._survey(until_us=until_us)
            except UnavailableError as error:
                # Whether the database holds what memory lacks is asked again once it is back.
                log.warning("delivery.sweep_postponed", error=error.message)
                await asyncio.sleep(_PAUSE_S)
            except Exception:
                log.exception("delivery.sweep_failed")
                await asyncio.sleep(_PAUSE_S)

    async def _survey(self, *, until_us: int) -> None:
        """Take up every destination that has something pending, due by `until_us`."""
        begun = self._queues.begin_survey()
        found = await self._store.read(lambda connection: destinations_with_pending(connection, until_us=until_us))
        for number, destination in enumerate(found):
            try:
                queue = self._queues.find(destination, self._store.clock.now_us())
            except Exception:
                queue = self._queues.of(destination.key)
                self._restart_queue(queue)
            self._pump(queue)
            if number % _SURVEY_STEP == _SURVEY_STEP - 1:
                await asyncio.sleep(0)
        self._queues.end_survey(begun)

    def _new_queue(self, key: int) -> DestinationQueue:
        hold_us = self._settings.order_hold // timedelta(microseconds=1)
        return DestinationQueue(key, hold_us, self._settings.memory, self._held, self._settings.user_agent)

    def _on_commit(self, committed: Committed) -> None:
        if self._draining:
            return
        touched: dict[int, DestinationQueue] = {}
        now_us = self._store.clock.now_us()
        if committed.everything:
            self._queues.reread_everything()
            self._doubting.set()
            touched.update((queue.key, queue) for queue in self._queues)
        # Before the commit's events: they came after.
        self._erase(committed, touched)
        for key in committed.changed:
            touched[key] = self._queues.of(key)
            touched[key].mark_stale()
        self._offer(committed, touched, now_us)
        for key in committed.woken:
            touched[key] = queue = self._queues.of(key)
            queue.read_from_commit(now_us)
            try:
                for delivery_key in committed.hurried:
                    queue.lanes.make_due(delivery_key, now_us)
            except Exception:
                self._restart_queue(queue)
        for key in committed.rewound:
            touched[key] = queue = self._queues.of(key)
            queue.read_from(START)
        for queue in touched.values():
            self._pump(queue)

    def _erase(self, committed: Committed, touched: dict[int, DestinationQueue]) -> None:
        for customer_id, subject in committed.erased:
            for queue in self._queues:
                # One whose customer is not known yet may be reading already.
                if queue.destination is None or queue.destination.customer_id == customer_id:
                    touched[queue.key] = queue
                    try:
                        queue.erase(subject)
                    except Exception:
                        self._restart_queue(queue)

    def _offer(self, committed: Committed, touched: dict[int, DestinationQueue], now_us: int) -> None:
        """Give every delivery to its destination's queue; a fault with one keeps none of the others from theirs."""
        for delivery in committed.deliveries:
            key = delivery.destination_key
            queue = touched.get(key)
            try:
                if queue is None:
                    queue = self._queues.queue_for(key, committed.destinations.get(key), now_us)
                    if queue is None:
                        continue
                    touched[key] = queue
                queue.offer(delivery, now_us)
            except Exception:
                touched[key] = queue or self._queues.of(key)
                self._restart_queue(touched[key])

    def _restart_queue(self, queue: DestinationQueue) -> None:
        """After a fault of ours in one destination's queue: it reads everything again, a moment later."""
        log.exception("delivery.queue_failed", destination=queue.key)
        try:
            queue.start_over()
        except Exception:
            log.exception("delivery.queue_lost", destination=queue.key)
        self._wake_at(queue, self._store.clock.now_us() + int(_PAUSE_S * 1e6))

    def _pump(self, queue: DestinationQueue) -> None:
        """Begin as many attempts as are ready and allowed, and see to what the queue needs next."""
        try:
            self._begin_ready(queue)
        except Exception:
            self._restart_queue(queue)

    def _begin_ready(self, queue: DestinationQueue) -> None:
        if self._draining or self._workers is None:
            return
        now_us = self._store.clock.now_us()
        queue.lanes.advance(now_us)
        self._backlog.read_if_wanted(queue, now_us)
        while queue.may_begin(now_us, self._settings.slots_per_destination):
            if not self._has_room(queue):
                break
            delivery = queue.lanes.take()
            assert delivery is not None
            self._begin(queue)
            self._workers.create_task(self._work(queue, delivery))
        self._wake_at(queue, queue.next_wake_us(now_us))

    def _has_room(self, queue: DestinationQueue) -> bool:
        """Whether the node can take one more attempt; if not, the queue is pumped when it can."""
        if self._store.is_away:
            # Another node may be delivering. When the store is back it tells of everything.
            return False
        if self._recorder.is_full:
            self._choked = True
            return False
        if self._in_flight_count >= self._settings.max_in_flight:
            self._starved[queue.key] = queue
            return False
        return True

    def _wake_at(self, queue: DestinationQueue, wake_us: int | None) -> None:
        if queue.timer is not None:
            queue.timer.cancel()
            queue.timer = None
        if wake_us is not None:
            delay_s = max(0.0, (wake_us - self._store.clock.now_us()) / 1e6) + 0.001
            queue.timer = asyncio.get_running_loop().call_later(delay_s, self._pump, queue)

    def _begin(self, queue: DestinationQueue) -> None:
        queue.in_flight_count += 1
        self._in_flight_count += 1
        self._idle.clear()

    def _end(self, queue: DestinationQueue) -> None:
        queue.in_flight_count -= 1
        self._in_flight_count -= 1
        if self._in_flight_count == 0:
            self._idle.set()

    async def _work(self, queue: DestinationQueue, delivery: Delivery) -> None:
        """Attempt deliveries of one queue, one after another, as long as it has ready ones."""
        taken: Delivery | None = delivery
        while taken is not None:
            try:
                await self._attempt(queue, taken)
            finally:
                self._end(queue)
            try:
                taken = self._take_next(queue)
            except Exception:
                taken = None
                self._restart_queue(queue)
        self._pump_after(queue)

    def _take_next(self, queue: DestinationQueue) -> Delivery | None:
        """The next delivery for a worker that has ended one; None if the slot is for somebody else."""
        if self._draining:
            return None
        now_us = self._store.clock.now_us()
        queue.lanes.advance(now_us)
        self._backlog.read_if_wanted(queue, now_us)
        if self._starved or not queue.may_begin(now_us, self._settings.slots_per_destination):
            return None
        if not self._has_room(queue):
            return None
        taken = queue.lanes.take()
        assert taken is not None
        self._begin(queue)
        return taken

    def _pump_after(self, queue: DestinationQueue) -> None:
        """A slot is free: whoever has waited longest for one comes first."""
        while self._starved and self._in_flight_count < self._settings.max_in_flight:
            self._pump(self._starved.pop(next(iter(self._starved))))
        self._pump(queue)

    async def _attempt(self, queue: DestinationQueue, delivery: Delivery) -> None:
        """One attempt. What goes wrong on our side is no attempt: the delivery is the next of its subject again."""
        try:
            await self._send(queue, delivery)
        except asyncio.CancelledError:
            queue.lanes.drop_taken(delivery)
            raise
        except Exception:
            log.exception("delivery.attempt_failed", delivery=delivery.key)
            await asyncio.sleep(_PAUSE_S)
            self._put_back(queue, delivery)

    def _put_back(self, queue: DestinationQueue, delivery: Delivery) -> None:
        try:
            if queue.lanes.requeue_taken(delivery):
                return
        except Exception:
            queue.lanes.forget_in_flight(delivery)
        # It was concluded by half, or put back by half: only the database knows where it stands.
        self._restart_queue(queue)

    async def _send(self, queue: DestinationQueue, delivery: Delivery) -> None:
        payload = delivery.payload
        if not payload:
            # It waited for its retry without a payload. None: it was cancelled meanwhile.
            again = await self._store.read(lambda connection: load_delivery(connection, delivery.key))
            if again is None or not again.payload:
                queue.lanes.drop_taken(delivery)
                return
            payload = again.payload
        destination, writer = queue.destination, queue.writer
        if not queue.is_sending or destination is None or writer is None:
            # Changed or stopped since it was taken.
            queue.lanes.requeue_taken(delivery)
            return
        began_us, started_us = self._store.clock.now_us(), time.time_ns() // 1000
        result = await self._sender.send(writer.write(delivery, payload, started_us))
        attempt = Attempt(began_us, started_us, destination.uri_key)
        self._conclusions.conclude(queue, delivery, result, attempt, self._store.clock.now_us())

    def _on_written(self, records: Sequence[AttemptRecord]) -> None:
        now_us = self._store.clock.now_us()
        for record in records:
            queue = self._queues.get(record.destination_key)
            if queue is None:
                continue
            try:
                self._note_written(queue, record, now_us)
            except Exception:
                self._restart_queue(queue)
        if self._choked:
            self._choked = False
            for queue in list(self._queues):
                self._pump(queue)

    def _note_written(self, queue: DestinationQueue, record: AttemptRecord, now_us: int) -> None:
        in_memory = queue.lanes.note_written(record.delivery_key, record.number)
        if record.status != "succeeded" and not in_memory:
            if queue.destination is None or queue.destination.uri_key == record.uri_key:
                if record.status == "pending":
                    queue.read_when_due((record.due_us, record.delivery_key), now_us)
            else:
                # It was written down as due at once, at its old place.
                queue.read_from(START)
            self._pump(queue)
        if queue.is_loading:
            # What is being read right now may show it as it was before.
            queue.ended_while_loading.add(record.delivery_key)


class _StopError(Exception):
    """Ends the engine's task group: whatever is still under way is interrupted."""
