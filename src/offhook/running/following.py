"""Keeping a part of what the database has in memory: read once, and then told of every commit.

Theory of operation. What is committed is put in a row by the store's listener and taken over by the service's own task,
so that a fault of ours ends the service and is not swallowed. A snapshot is read at the start and whenever what was
committed is not known. What is told while it is being read may be older or newer than the snapshot; in any case the
rows that were told of are known better than the snapshot knows them, and are left out of it.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from datetime import timedelta

import structlog

from offhook.domain.errors import UnavailableError
from offhook.node.service import Service
from offhook.running.port import Committed, Store
from offhook.store.commit.port import Row

Key = tuple[str, str]
"""A row's kind and id."""

READ_PAUSE = timedelta(seconds=1)

log = structlog.get_logger()


class Follower(Service):
    """A service that keeps up with the store; its `run` calls `_follow` whenever `_wake` is set.

    `read_pause` is how long it waits after it could not read.
    """

    def __init__(self, store: Store, read_pause: timedelta = READ_PAUSE) -> None:
        self._store = store
        self._read_pause_s = read_pause.total_seconds()
        self._heard: deque[Committed] = deque()
        self._wake = asyncio.Event()
        # Of the times when something came to be unknown, the last one, and the last one that was made good.
        self._unknown_count = 1
        self._known_count = 0

    async def start(self) -> None:
        """Listen from now on."""
        self._store.subscribe(self._hear)
        self._wake.set()

    @property
    def is_behind(self) -> bool:
        """Whether what was committed is not known, or not yet."""
        return self._known_count != self._unknown_count

    @abstractmethod
    async def _read(self) -> Sequence[Row]:
        """A snapshot."""

    @abstractmethod
    def _take_snapshot(self, rows: Sequence[Row], touched: Collection[Key]) -> None:
        """Make `rows` what there is, but for the rows that are `touched`, which are told of otherwise."""

    @abstractmethod
    def _take(self, committed: Committed) -> None:
        """Take over one commit."""

    @abstractmethod
    def _caught_up(self) -> None:
        """What was not known is known."""

    def _read_again(self) -> None:
        self._unknown_count += 1
        self._wake.set()

    def _hear(self, committed: Committed) -> None:
        if committed.everything:
            self._read_again()
        if committed.changes or committed.orders:
            self._heard.append(committed)
            self._wake.set()

    async def _follow(self) -> bool:
        """Take over what was committed, and read if need be. Whether there was nothing that could not be read."""
        self._take_heard()
        if not self.is_behind:
            return True
        while self.is_behind:
            unknown_count = self._unknown_count
            try:
                rows = await self._read()
            except UnavailableError as error:
                log.warning("running.read_postponed", service=self.name, error=error.message)
                return False
            touched = {(write.row.kind, write.row.id) for committed in self._heard for write in committed.changes}
            self._take_snapshot([row for row in rows if (row.kind, row.id) not in touched], touched)
            self._take_heard()
            self._known_count = unknown_count
        self._caught_up()
        return True

    def _take_heard(self) -> None:
        while self._heard:
            self._take(self._heard.popleft())
