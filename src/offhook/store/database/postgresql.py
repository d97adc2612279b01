"""Sessions on PostgreSQL: none of them waits for ever, at either end, and the writing one holds the node's lock.

A connection can die without a word: a cable, a firewall, a virtual machine that stands still. Then nobody resets
anything, and whoever waits for an answer waits. So every session is limited three times. The server ends statements,
locks and transactions that take too long, and sessions whose client has vanished. The kernels at both ends notice
packets that are not acknowledged. And where something in between acknowledges them and passes nothing on (a proxy, a
load balancer), this program stops waiting a second after the server should have ended the statement.

The writing session holds an advisory lock of the session's own (PostgreSQL 16, section 13.3.5): it lives exactly as
long as the session, and there is no writing session without it, so no commit either. A node that lost its session
notices before the server gives the lock to another one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus

from offhook.domain.errors import MisconfiguredError

T = TypeVar("T")

# Arbitrary, ours: the advisory lock that keeps a second node off one PostgreSQL database until nodes can share.
_NODE_LOCK = 0x0FF4008
# Who holds it: a 64-bit key is shown as two halves, and as objsubid 1 (PostgreSQL 16, section 54.12, pg_locks). Whether
# it stands still: none of the limits below is for a node that was stopped in the middle of statements sent together, as
# the server has what it waited for, and waits for the rest.
_HOLDER = """
SELECT pid, application_name, coalesce(
    wait_event = 'ClientRead' AND state_change < clock_timestamp() - %s * interval '1 second', false
) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid = 0 AND objid = %s AND objsubid = 1 AND granted
"""
# A session setting that this version of the server does not have is left out.
_CONFIGURE = """
SELECT set_config(given.name, given.value, false) FROM unnest(%s::text[], %s::text[]) AS given(name, value)
JOIN pg_settings ON pg_settings.name = given.name
"""
# libpq's, at our end (PostgreSQL 16, section 34.1.2).
_AT_OUR_END = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# At the server's: what notices that we are gone (PostgreSQL 16, section 20.3.2).
_AT_THE_SERVER = {
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "client_connection_check_interval": "1s",
}
# How much longer than a statement may take this program waits for its answer, and the server for the next one.
_OUR_MARGIN_S = 1.0
# How often it is asked whether the server has let go of a session that was ended.
_LETTING_GO_S = 0.05
_SERVERS_MARGIN_S = 5.0


class TakenError(MisconfiguredError):
    """Another node holds the database's lock."""


class Session(psycopg.Connection[Any]):
    """A connection that is given up, and is closed, when an answer does not come in time."""

    answer_s = math.inf
    last_words = ""
    """A statement to run in this transaction just before its COMMIT, in the same round trip."""

    def commit(self) -> None:
        """Commit. Raises InFailedSqlTransaction if the server has rolled back instead, as a statement had failed."""
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            return
        words, self.last_words = self.last_words, ""
        try:
            with self.lock:
                # A cursor would cost more than the server needs.
                self.pgconn.send_query(f"{words}; COMMIT".encode() if words else b"COMMIT")
                results = self.wait(generators.execute(self.pgconn))
            for result in results:
                if result.status != ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result, encoding=self.info.encoding)
        except psycopg.Error:
            # SQLAlchemy takes a COMMIT for the end, also one that failed.
            with suppress(psycopg.Error):
                self.rollback()
            raise
        if results[-1].command_status != b"COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("a statement had failed: rolled back")

    def wait(self, gen: PQGen[T], *rest: Any, **more: Any) -> T:
        """Wait for the server; every statement of the driver's goes through here."""
        return super().wait(self._limited(gen), *rest, **more)

    def _limited(self, gen: PQGen[T]) -> PQGen[T]:
        """The same dialogue with the server, asked every tenth of a second whether it still may go on."""
        given_up_s = time.monotonic() + self.answer_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > given_up_s:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.answer_s:.0f} seconds")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: T = end.value
            return found


def reading_engine(url: sa.URL, answer_time: timedelta, *, pool_size: int) -> sa.Engine:
    """Sessions that read, each transaction on one snapshot."""
    engine = sa.create_engine(
        url, pool_size=pool_size, max_overflow=0, isolation_level="REPEATABLE READ", hide_parameters=True
    )

    @sa.event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, _places: Any, given: dict[str, Any]) -> Session:
        return _open(given, answer_time, {})

    return engine


def writing_engine(url: sa.URL, answer_time: timedelta, *, name: str) -> sa.Engine:
    """The one session that writes. Connecting raises TakenError if another node holds the lock.

    `name` tells this node's sessions from another's. One of our own that the server has not let go of yet is ended.
    """
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
    silence = {"idle_session_timeout": _milliseconds(answer_time, _SERVERS_MARGIN_S)}

    @sa.event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, _places: Any, given: dict[str, Any]) -> Session:
        session = _open({**given, "application_name": name}, answer_time, silence)
        try:
            _take_lock(session, name, answer_time.total_seconds() + _SERVERS_MARGIN_S)
        except BaseException:
            session.close()
            raise
        return session

    return engine


@contextmanager
def without_time_limit(connection: sa.Connection) -> Iterator[None]:
    """A transaction that may take as long as it needs: a migration does."""
    session = connection.connection.driver_connection
    assert isinstance(session, Session)
    before_s, session.answer_s = session.answer_s, math.inf
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    try:
        yield
    finally:
        session.answer_s = before_s


def is_alive(connection: sa.Connection) -> bool:
    """Whether the session behind `connection` is still there, as far as is known without asking the server."""
    if connection.closed or connection.invalidated:
        return False
    session = connection.connection.driver_connection
    return isinstance(session, Session) and not session.closed


def _open(given: Mapping[str, Any], answer_time: timedelta, more: Mapping[str, str]) -> Session:
    session = Session.connect(**{"application_name": "offhook", **_AT_OUR_END, **given}, autocommit=True)
    try:
        session.answer_s = answer_time.total_seconds() + _OUR_MARGIN_S
        limits = {
            "statement_timeout": _milliseconds(answer_time),
            "lock_timeout": _milliseconds(answer_time * 0.8),
            "idle_in_transaction_session_timeout": _milliseconds(answer_time, _SERVERS_MARGIN_S),
            **more,
        }
        _configure(session, limits)
        # Where the server's system cannot do one of these, the limits above have to do.
        with suppress(psycopg.errors.DataError):
            _configure(session, _AT_THE_SERVER)
        session.autocommit = False
    except BaseException:
        session.close()
        raise
    return session


def _configure(session: Session, settings: Mapping[str, str]) -> None:
    session.execute(_CONFIGURE, [list(settings), list(settings.values())])


def _take_lock(session: Session, name: str, silence_s: float) -> None:
    """Have the node's lock, also from one that has said nothing for `silence_s` when it was its turn."""
    session.autocommit = True
    ended = set()
    given_up_s = time.monotonic() + session.answer_s
    while not _one(session, "SELECT pg_try_advisory_lock(%s::bigint)", _NODE_LOCK)[0]:
        holder = _one(session, _HOLDER, silence_s, _NODE_LOCK)
        if holder is None:
            # It has let go in this moment.
            time.sleep(_LETTING_GO_S)
            continue
        pid, its_name, stands_still = holder
        if its_name == name:
            session.execute("SELECT pg_terminate_backend(%s)", [pid])
            raise psycopg.OperationalError("the server is just letting go of the session that was lost")
        if time.monotonic() > given_up_s:
            raise psycopg.OperationalError("the server does not let go of the session of a node that stands still")
        if pid not in ended:
            if not stands_still:
                raise TakenError(
                    "Another Offhook runs on this database. Stop it first, or give this one a database of its own."
                )
            session.execute("SELECT pg_terminate_backend(%s)", [pid])
            ended.add(pid)
        time.sleep(_LETTING_GO_S)
    session.autocommit = False


def _one(session: Session, statement: str, *values: Any) -> Any:
    return session.execute(statement, values).fetchone()


def _milliseconds(span: timedelta, margin_s: float = 0.0) -> str:
    return str(round((span.total_seconds() + margin_s) * 1000))
