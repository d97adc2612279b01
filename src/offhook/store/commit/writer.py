"""The writer's thread: commits what is queued as a group (`store.commit.group`), and gets a lost session back.

On PostgreSQL the session can be lost, and the node's lock with it. Then the thread tries to get both back; until it
has, the writer is *away* and everything is refused. If another node has the lock, or the time is up, it ends, and says
why.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from offhook.domain.errors import OffhookError, UnavailableError
from offhook.node.clock import SteadyClock
from offhook.store.commit.change import Queued, Told, refusal, unknown_end
from offhook.store.commit.committed import Committed
from offhook.store.commit.group import GroupCommit
from offhook.store.commit.rows import Tables
from offhook.store.database.database import Database
from offhook.store.database.refusals import reason_of
from offhook.store.database.session import WritingSession

_MAX_GROUP = 1_000
# Between two tries to get a lost session back.
_PAUSE_S = 0.25

log = structlog.get_logger()


class Owner(Told, Protocol):
    """Who is told; on the writer's thread."""

    def came_back(self, absence: int) -> None:
        """The writer can `go_on` after that absence: what was committed meanwhile is not known."""

    def lost(self, fault: OffhookError) -> None:
        """Nothing will be committed any more."""


class Writer:
    """`open` it, `start` it, `put` changes into it; `stop` commits what is queued."""

    def __init__(self, database: Database, owner: Owner, tables: Tables) -> None:
        self._database = database
        self._owner = owner
        self._queue: queue.SimpleQueue[Queued[Any] | None] = queue.SimpleQueue()
        self._in_hand: Sequence[Queued[Any]] = ()
        self._session = WritingSession(database)
        self.groups = GroupCommit(self._session, owner, self._reopen, tables, is_sqlite=database.is_sqlite)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        # How often it went away, counted by the thread, and which absence the owner has seen the end of.
        self._absence = self._seen_absence = 0

    @property
    def is_away(self) -> bool:
        """Whether nothing can be written before `go_on`, if ever."""
        return self._session.is_lost or self._absence != self._seen_absence

    def go_on(self, absence: int) -> None:
        """The owner knows that the writer was away, and may give it changes again."""
        self._seen_absence = absence

    def open(self) -> None:
        """Take the database and migrate it. Raises MisconfiguredError, and what the database raises."""
        self.groups.clock = SteadyClock(self._session.open())

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def put(self, change: Queued[Any]) -> None:
        """Commit it with the next group."""
        self._queue.put(change)

    def take_left(self) -> list[Queued[Any]]:
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
                change.error = refusal()
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
        self.groups.commit(self._in_hand)
        if self.groups.is_over:
            return False
        self._in_hand = ()
        return not is_last

    def _gather(self, first: Queued[Any]) -> tuple[list[Queued[Any]], bool]:
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
            change.error = refusal()
            self._owner.ended([change], Committed())

    def _come_back(self, newest_us: int, away_s: float) -> None:
        """Another node may have been here meanwhile: nothing that was known before counts."""
        log.warning("store.regained", away_s=round(away_s, 1))
        self.groups.forget(newest_us)
        self._owner.came_back(self._absence)

    def _end(self, fault: OffhookError) -> bool:
        self._absence += 1
        log.error("store.lost_for_good", reason=fault.message)
        self._owner.lost(fault)
        return False
