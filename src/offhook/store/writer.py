"""The writer's thread: commits what is queued as a group, and gets a lost session back.

If a change fails, what it added is dropped, and nobody else's. If a statement fails, the transaction is rolled back and
its changes run again one by one, each in a transaction of its own (a savepoint for each would cost six times the
group). A change may therefore run twice and must touch nothing but its transaction.

On PostgreSQL the session can be lost, and the node's lock with it. Then the thread tries to get both back; until it
has, the writer is *away* and everything is refused. If another node has the lock, or the time is up, it ends, and says
why. A group that noticed before its COMMIT was sent is refused at once: nothing of it was accepted. One whose COMMIT
was not answered waits until the database can be asked what became of it (`store.marker`): it is told as any other, or
run again. Only if that cannot be found out are its callers told that it is not known.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Container, Sequence
from typing import Any, Generic, Protocol, TypeVar

import structlog

from offhook.domain.errors import OffhookError, UnavailableError
from offhook.store.clock import SteadyClock
from offhook.store.database import Database, is_database_error, is_fault_of_ours, is_unavailable
from offhook.store.refusals import reason_of
from offhook.store.session import WritingSession
from offhook.store.transaction import Committed, Keys, Transaction

T = TypeVar("T")

_MAX_GROUP = 1_000
# Between two tries to get a lost session back.
_PAUSE_S = 0.25
# What a database takes longer to refuse than this, it is not asked for by a whole group's changes one by one.
_SLOW_S = 1.0
# How often a group is run whose COMMITs are neither answered nor carried out.
_MAX_RUNS = 5

log = structlog.get_logger()


class UnknownEndError(UnavailableError):
    """Whether it was done is not known."""

    default_reason = "OUTCOME_UNKNOWN"


class Change(Generic[T]):
    """A change in the queue, its caller's future, and how it ended."""

    __slots__ = ("error", "future", "result", "run")

    def __init__(self, run: Callable[[Transaction], T], future: asyncio.Future[T]) -> None:
        self.run = run
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None


class Owner(Protocol):
    """Who is told; on the writer's thread."""

    def ended(self, group: Sequence[Change[Any]], committed: Committed) -> None:
        """These changes have their `result` or `error`; this was committed."""

    def came_back(self, absence: int) -> None:
        """The writer can `go_on` after that absence: what was committed meanwhile is not known."""

    def lost(self, fault: OffhookError) -> None:
        """Nothing will be committed any more."""


class Writer:
    """`open` it, `start` it, `put` changes into it; `stop` commits what is queued."""

    def __init__(self, database: Database, owner: Owner) -> None:
        self._database = database
        self._owner = owner
        self._queue: queue.SimpleQueue[Change[Any] | None] = queue.SimpleQueue()
        self._keys = Keys()
        self._customer_keys: dict[str, int] = {}
        self._in_hand: Sequence[Change[Any]] = ()
        self.known_destinations: Container[int] = ()
        self._session = WritingSession(database)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.clock = SteadyClock()
        # How often it went away, counted by the thread, and which absence the owner has seen the end of.
        self._absence = self._seen_absence = 0
        self._is_committing = self._is_over = False
        self.group_count = 0
        self.change_count = 0

    @property
    def is_away(self) -> bool:
        """Whether nothing can be written before `go_on`, if ever."""
        return self._session.is_lost or self._absence != self._seen_absence

    def go_on(self, absence: int) -> None:
        """The owner knows that the writer was away, and may give it changes again."""
        self._seen_absence = absence

    def open(self) -> None:
        """Take the database and migrate it. Raises MisconfiguredError, and what the database raises."""
        self.clock = SteadyClock(self._session.open())

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def put(self, change: Change[Any]) -> None:
        """Commit it with the next group."""
        self._queue.put(change)

    def take_left(self) -> list[Change[Any]]:
        """What was begun, or queued, when the thread ended by itself, each with its error."""
        left = list(self._in_hand)
        for begun in left:
            begun.error = unknown_end()
        while True:
            try:
                change = self._queue.get_nowait()
            except queue.Empty:
                return left
            if change is not None:
                change.error = _refusal()
                left.append(change)

    async def stop(self) -> bool:
        """Commit what is queued and end. Whether it has: a PostgreSQL that does not answer is not waited for long."""
        if self._thread.is_alive():
            self._queue.put(None)
            patience_s = None if self._database.is_sqlite else self._database.answer_time.total_seconds() + 1
            await asyncio.to_thread(self._thread.join, patience_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._commit_next() and (not self._session.is_lost or self._regain()):
                pass
            self._session.close()
        except BaseException as error:
            log.exception("store.writer_failed")
            self._end(UnavailableError(f"The database's writer failed: {error!r}"))

    def _commit_next(self) -> bool:
        """Commit what is queued, or look after the session while nothing is. Whether to go on."""
        try:
            first = self._queue.get(timeout=self._session.beat_s)
        except queue.Empty:
            self._session.beat()
            return True
        if first is None:
            return False
        self._in_hand, is_last = self._gather(first)
        self._commit_group(self._in_hand)
        if self._is_over:
            return False
        self._in_hand = ()
        return not is_last

    def _gather(self, first: Change[Any]) -> tuple[list[Change[Any]], bool]:
        """`first` and what is queued behind it, and whether the stop is."""
        group = [first]
        while len(group) < _MAX_GROUP:
            try:
                change = self._queue.get_nowait()
            except queue.Empty:
                break
            if change is None:
                return group, True
            group.append(change)
        return group, False

    def _commit_group(self, group: Sequence[Change[Any]]) -> None:
        error = self._try(group)
        if error is None:
            return
        if len(group) == 1 or self._session.is_lost or isinstance(error, UnknownEndError):
            self._fail(group, error)
            return
        for place, change in enumerate(group):
            began_s = time.monotonic()
            error = self._try([change])
            if error is None:
                continue
            is_slow = is_unavailable(error) and time.monotonic() - began_s > _SLOW_S
            if is_slow or self._session.is_lost or isinstance(error, UnknownEndError):
                self._fail([change], error)
                self._fail(group[place + 1 :], _refusal())
                return
            self._fail([change], error)

    def _try(self, group: Sequence[Change[Any]]) -> BaseException | None:
        """Commit the group and tell of it, or what it failed of: then it is not committed, or that is not known."""
        for _ in range(_MAX_RUNS):
            committed = Committed()
            error = self._commit(group, committed)
            if error is not None and self._is_in_doubt:
                was_committed = self._find_out(error, len(group))
                if was_committed is None:
                    return unknown_end()
                if was_committed:
                    error = None
                elif not self._database.is_sqlite:
                    # Only the session was at fault.
                    continue
            if error is None:
                self._owner.ended(group, committed)
            return error
        return _refusal()

    def _commit(self, group: Sequence[Change[Any]], committed: Committed) -> BaseException | None:
        """Run the group, write what it adds, and commit; what it failed of."""
        self.group_count += 1
        self.change_count += len(group)
        self._is_committing = False
        try:
            connection, marker = self._session.connection, self._session.marker
            with connection.begin():
                now_us, known = self.clock.now_us(), self.known_destinations
                transaction = Transaction(connection, self._keys, self._customer_keys, committed, now_us, known)
                marker.begin_group()
                for change in group:
                    self._run_change(change, transaction)
                transaction.flush()
                if transaction.has_written:
                    marker.write(connection)
                self._is_committing = True
        except BaseException as error:
            self._keys.forget()
            if not isinstance(error, OffhookError):
                self._session.failed(error)
            return error
        self._is_committing = False
        marker.committed()
        self._customer_keys.update(transaction.learned)
        return None

    @property
    def _is_in_doubt(self) -> bool:
        """Whether a COMMIT was sent, and it is not known what became of it."""
        return self._is_committing and not self._session.is_open

    def _find_out(self, error: BaseException, change_count: int) -> bool | None:
        """Whether the group in doubt is committed; None if nobody can tell."""
        log.warning("store.commit_unanswered", error=reason_of(error), change_count=change_count)
        if not self._reopen():
            self._is_over = True
            return None
        return self._session.marker.was_committed

    def _reopen(self) -> bool:
        if self._database.is_sqlite:
            # Nobody else can have been here: if it can be asked at once, the writer was not away.
            try:
                self._session.reopen()
            except Exception:
                self._session.drop()
            else:
                return True
        return self._regain()

    def _run_change(self, change: Change[Any], transaction: Transaction) -> None:
        transaction.begin_change()
        change.error = None
        try:
            change.result = change.run(transaction)
            transaction.keep()
        except Exception as error:
            change.error = error
            # A statement that failed has ended PostgreSQL's transaction, whatever it was: nothing more can be kept.
            if is_database_error(error):
                raise
            transaction.undo()

    def _fail(self, group: Sequence[Change[Any]], error: BaseException) -> None:
        if is_database_error(error) and not is_fault_of_ours(error):
            log.error("store.write_failed", error=reason_of(error), change_count=len(group))
            error = _refusal()
        for change in group:
            change.error = error
        # What nobody can tell of this group, nobody can tell of what was written beside it.
        self._owner.ended(group, Committed(everything=isinstance(error, UnknownEndError)))

    def _regain(self) -> bool:
        """Get the lost session back, refusing meanwhile what is still queued. Whether to go on."""
        self._absence += 1
        log.error("store.lost", hint="nothing is accepted or delivered until the database is back")
        began_s = time.monotonic()
        told = ""
        while self._refuse_queued():
            try:
                newest_us = self._session.reopen()
            except OffhookError as error:
                return self._end(error)
            except Exception as error:
                self._session.drop()
                away_s, reason = time.monotonic() - began_s, reason_of(error)
                if reason != told:
                    told = reason
                    log.warning("store.still_lost", away_s=round(away_s, 1), error=reason)
                if away_s > self._database.regain_time.total_seconds():
                    return self._end(UnavailableError(f"The database has been away for {away_s:.0f} seconds."))
            else:
                self._come_back(newest_us, time.monotonic() - began_s)
                return True
        return False

    def _refuse_queued(self) -> bool:
        """Fail what comes out of the queue until it has been empty for a moment. Whether nobody asked to stop."""
        while True:
            try:
                change = self._queue.get(timeout=_PAUSE_S)
            except queue.Empty:
                return True
            if change is None:
                return False
            change.error = _refusal()
            self._owner.ended([change], Committed())

    def _come_back(self, newest_us: int, away_s: float) -> None:
        """Another node may have been here meanwhile: nothing that was known before counts."""
        log.warning("store.regained", away_s=round(away_s, 1))
        self._keys.forget()
        self._customer_keys.clear()
        self.clock = SteadyClock(max(newest_us, self.clock.now_us()))
        self._owner.came_back(self._absence)

    def _end(self, fault: OffhookError) -> bool:
        self._absence += 1
        log.error("store.lost_for_good", reason=fault.message)
        self._owner.lost(fault)
        return False


def _refusal() -> UnavailableError:
    return UnavailableError("The database cannot be written right now. Nothing was accepted; try again in a moment.")


def unknown_end() -> UnknownEndError:
    """What a caller is told whose change may have been committed, or not."""
    return UnknownEndError(
        "The database went away. Whether this was accepted is not known; repeat it with the same id or Idempotency-Key."
    )
