"""One group: its changes are run in one transaction, what they added is written, and it is committed.

If a change fails, what it added is dropped, and nobody else's. If a statement fails, the transaction is rolled back and
its changes run again one by one, each in a transaction of its own (a savepoint for each would cost six times the
group). A change may therefore run twice and must touch nothing but its transaction.

Units (`store.commit.unit`) are decided in the same transaction, and cost their neighbours nothing: one that is refused
or raises is dropped in memory. Their rows are written once, in the flush; if somebody else has written one meanwhile,
the group is run again from what is there now. Should one of them make a statement fail all the same, the batch is run
again with a savepoint for each.

A group whose COMMIT was not answered waits until the database can be asked what became of it (`store.marker`): it is
told as any other, or run again. Only if that cannot be found out are its callers told that it is not known. One that
noticed before its COMMIT was sent is refused at once: nothing of it was accepted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from typing import Any

import structlog

from offhook.domain.errors import OffhookError, UnavailableError
from offhook.node.clock import SteadyClock
from offhook.store.commit.change import Change, Queued, Told, UnitBatch, UnknownEndError, refusal, unknown_end
from offhook.store.commit.committed import Committed
from offhook.store.commit.counting import PresentMinute
from offhook.store.commit.deciding import Deciding
from offhook.store.commit.flush import StaleError, is_stale
from offhook.store.commit.keys import Keys
from offhook.store.commit.rows import Tables
from offhook.store.commit.transaction import Transaction
from offhook.store.database.database import is_database_error, is_fault_of_ours, is_unavailable
from offhook.store.database.refusals import reason_of
from offhook.store.database.session import WritingSession

# What a database takes longer to refuse than this, it is not asked for by a whole group's changes one by one.
_SLOW_S = 1.0
# How often a group is run whose COMMITs are neither answered nor carried out, or whose rows others have written.
_MAX_RUNS = 5

log = structlog.get_logger()


class GroupCommit:
    """Commits groups on the writing session, and knows what may be kept from one to the next.

    `reopen` gets a session back after a COMMIT that was not answered; false: it cannot be, and `is_over`.
    """

    def __init__(
        self, session: WritingSession, told: Told, reopen: Callable[[], bool], tables: Tables, *, is_sqlite: bool
    ) -> None:
        self._session = session
        self._tables = tables
        self._told = told
        self._reopen = reopen
        self._is_sqlite = is_sqlite
        self._keys = Keys()
        self._minute = PresentMinute()
        self._customer_keys: dict[str, int] = {}
        self._is_committing = False
        self.known_destinations: Container[int] = ()
        self.clock = SteadyClock()
        self.is_over = False
        self.group_count = 0
        self.stale_count = 0

    def forget(self, newest_us: int) -> None:
        """Another node may have been here meanwhile, which wrote at that time: nothing that was known counts."""
        self._keys.forget()
        self._minute.forget()
        self._customer_keys.clear()
        self.clock = SteadyClock(max(newest_us, self.clock.now_us()))

    def commit(self, group: Sequence[Queued[Any]]) -> None:
        """Commit these changes, or what of them can be; each is told how it ended."""
        error = self._try(group)
        if error is None:
            return
        if self._session.is_lost or isinstance(error, UnknownEndError):
            self._fail(group, error)
        elif len(group) == 1:
            self._fail_alone(group[0], error)
        else:
            self._commit_one_by_one(group)

    def _commit_one_by_one(self, group: Sequence[Queued[Any]]) -> None:
        for place, change in enumerate(group):
            began_s = time.monotonic()
            error = self._try([change])
            if error is None:
                continue
            is_slow = is_unavailable(error) and time.monotonic() - began_s > _SLOW_S
            if is_slow or self._session.is_lost or isinstance(error, UnknownEndError):
                self._fail([change], error)
                self._fail(group[place + 1 :], refusal())
                return
            self._fail_alone(change, error)

    def _fail_alone(self, change: Queued[Any], error: BaseException) -> None:
        """It has failed all by itself. Of units, that may be one's fault."""
        if isinstance(change, UnitBatch) and not (isinstance(error, UnavailableError) or is_unavailable(error)):
            log.error("store.units_run_apart", error=reason_of(error), unit_count=len(change.units))
            again = self._try([change], is_apart=True)
            if again is None:
                return
            error = again
        self._fail([change], error)

    def _try(self, group: Sequence[Queued[Any]], *, is_apart: bool = False) -> BaseException | None:
        """Commit the group and tell of it, or what it failed of: then it is not committed, or that is not known."""
        for _ in range(_MAX_RUNS):
            committed = Committed()
            error = self._commit(group, committed, is_apart=is_apart)
            if error is not None and is_stale(error):
                self.stale_count += 1
                if len(group) > 1:
                    return error
                continue
            if error is not None and self._is_in_doubt:
                was_committed = self._find_out(error, len(group))
                if was_committed is None:
                    return unknown_end()
                if was_committed:
                    error = None
                elif not self._is_sqlite:
                    # Only the session was at fault.
                    continue
            if error is None:
                self._told.ended(group, committed)
            return error
        return refusal()

    def _commit(self, group: Sequence[Queued[Any]], committed: Committed, *, is_apart: bool) -> BaseException | None:
        """Run the group, write what it adds, and commit; what it failed of."""
        self.group_count += 1
        self._is_committing = False
        try:
            connection, marker = self._session.connection, self._session.marker
            with connection.begin():
                now_us, known = self.clock.now_us(), self.known_destinations
                transaction = Transaction(
                    connection, self._keys, self._minute, self._customer_keys, committed, now_us, known
                )
                # Most groups have no units.
                deciding: Deciding | None = None
                marker.begin_group()
                for change in group:
                    if isinstance(change, UnitBatch):
                        if deciding is None:
                            deciding = Deciding(connection, transaction, self._keys, committed, self._tables)
                        change.result = deciding.run_apart(change.units) if is_apart else deciding.run(change.units)
                        change.error = None
                    elif isinstance(change, Change):
                        self._run_change(change, transaction)
                if deciding is not None:
                    deciding.flush()
                transaction.flush()
                if transaction.has_written or (deciding is not None and deciding.has_written):
                    marker.write(connection)
                self._is_committing = True
        except BaseException as error:
            self._keys.forget()
            self._minute.forget()
            if not isinstance(error, OffhookError | StaleError):
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
            self.is_over = True
            return None
        return self._session.marker.was_committed

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

    def _fail(self, group: Sequence[Queued[Any]], error: BaseException) -> None:
        if is_database_error(error) and not is_fault_of_ours(error):
            log.error("store.write_failed", error=reason_of(error), change_count=len(group))
            error = refusal()
        for change in group:
            change.error = error
        # What nobody can tell of this group, nobody can tell of what was written beside it.
        self._told.ended(group, Committed(everything=isinstance(error, UnknownEndError)))
