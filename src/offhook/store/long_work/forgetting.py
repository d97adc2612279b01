"""What goes once its events are gone: subjects, what lived and is over, uris that nothing names any more.

A subject outlives its last event (`SUBJECT_OUTLIVES`); that of an open call is not forgotten at all. One that has an
event again stays (the statement that counts its sequence up sets `forget_at` back). A call that is over has no event
any more, nor has anything else that lived: it goes with its last one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from offhook.domain.events.retention import LONGEST_ATTEMPT, SUBJECT_OUTLIVES
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.steps import BATCH, OF, in_batches
from offhook.store.schema import NOUN_TABLES, customers, destinations, events, subjects, uris

_MICROSECOND = timedelta(microseconds=1)
_SILENCE_US = SUBJECT_OUTLIVES // _MICROSECOND
_ATTEMPT_US = LONGEST_ATTEMPT // _MICROSECOND
# How soon the subject of an open call is looked at again.
_ALIVE_US = timedelta(days=1) // _MICROSECOND


def _is_row(kind: str) -> sa.ColumnElement[bool]:
    """Whether the subject is that row's. Anybody may publish about a subject of that name: the row is a customer's."""
    table = NOUN_TABLES[kind]
    return sa.and_(
        subjects.c.subject.startswith(f"{kind}/", autoescape=True),
        table.c.id == sa.func.substr(subjects.c.subject, len(kind) + 2),
        table.c.customer_id == customers.c.id,
    )


def _is_over(kind: str) -> sa.ColumnElement[bool]:
    table = NOUN_TABLES[kind]
    return (
        sa.exists()
        .select_from(table.join(customers, table.c.customer_id == customers.c.id))
        .where(customers.c.key == subjects.c.customer_key, _is_row(kind), ~table.c.is_open)
        .correlate(subjects)
    )


_FORGET_LATER = (
    sa.update(subjects)
    .where(subjects.c.key == OF, ~sa.exists().where(events.c.subject_key == subjects.c.key))
    .values(
        forget_at=sa.case(
            (sa.or_(*map(_is_over, NOUN_TABLES)), sa.bindparam("now", type_=sa.BigInteger)),
            else_=sa.bindparam("at", type_=sa.BigInteger),
        )
    )
)

Place = tuple[int, int]
"""When the last uri that was looked at was replaced, and its key."""


def forget_subjects_later(tx: Transaction, last_us: Mapping[int, int]) -> None:
    """Events of these subjects were removed, the age of the last one given: those that have none left go in time."""
    if last_us:
        rows = [{"of": key, "at": moment + _SILENCE_US, "now": tx.now_us} for key, moment in last_us.items()]
        tx.connection.execute(_FORGET_LATER, rows)


def forget_subjects_step(tx: Transaction, more: bool) -> bool | None:
    """Forget subjects whose time has come, and what they were about. Returns `more` while there may be others."""
    return in_batches(lambda _: _forget_subjects(tx), more)


def forget_uris_step(tx: Transaction, before_us: int, place: Place) -> Place | None:
    """Forget uris that were replaced before a moment and that no attempt names any more, from `place` on."""
    until_us = min(before_us, tx.now_us - _ATTEMPT_US)
    return in_batches(lambda here: _forget_uris(tx, until_us, here), place)


def _forget_subjects(tx: Transaction) -> bool | None:
    statement = (
        sa.select(subjects.c.key).where(subjects.c.forget_at <= tx.now_us).order_by(subjects.c.forget_at).limit(BATCH)
    )
    due = tx.reader.execute(statement).scalars().all()
    if not due:
        return None
    alive: set[int] = set()
    for kind, table in NOUN_TABLES.items():
        found = _rows_of(tx, kind, due)
        alive |= {row.subject_key for row in found if row.is_open}
        over = [row.key for row in found if not row.is_open]
        tx.connection.execute(sa.delete(table).where(table.c.key.in_(over)))
    tx.connection.execute(sa.update(subjects).where(subjects.c.key.in_(alive)).values(forget_at=tx.now_us + _ALIVE_US))
    tx.connection.execute(sa.delete(subjects).where(subjects.c.key.in_([key for key in due if key not in alive])))
    return True if len(due) == BATCH else None


def _rows_of(tx: Transaction, kind: str, subject_keys: Collection[int]) -> Sequence[sa.Row[Any]]:
    """Those of the subjects that are rows of that kind: `subject_key`, the row's `key`, and whether it `is_open`."""
    table = NOUN_TABLES[kind]
    statement: sa.Select[Any] = (
        sa.select(subjects.c.key.label("subject_key"), table.c.key, table.c.is_open)
        .select_from(subjects.join(customers, customers.c.key == subjects.c.customer_key).join(table, _is_row(kind)))
        .where(subjects.c.key.in_(subject_keys))
    )
    return tx.reader.execute(statement).all()


def _forget_uris(tx: Transaction, until_us: int, place: Place) -> Place | None:
    # Whoever names a uri was created before it was replaced: it goes when its customer has no event that old.
    oldest = (
        sa.select(events.c.tm_create)
        .where(events.c.customer_key == destinations.c.customer_key)
        .order_by(events.c.position)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        sa.select(uris.c.key, uris.c.tm_replaced, oldest.label("oldest"))
        .select_from(uris.join(destinations, destinations.c.key == uris.c.destination_key))
        .where(
            uris.c.tm_replaced < until_us,
            sa.tuple_(uris.c.tm_replaced, uris.c.key)
            > sa.tuple_(sa.literal(place[0], sa.BigInteger), sa.literal(place[1], sa.BigInteger)),
        )
        .order_by(uris.c.tm_replaced, uris.c.key)
        .limit(BATCH)
    )
    rows = tx.reader.execute(statement).all()
    doomed = [row.key for row in rows if row.oldest is None or row.oldest > row.tm_replaced + _ATTEMPT_US]
    tx.connection.execute(sa.delete(uris).where(uris.c.key.in_(doomed)))
    return (rows[-1].tm_replaced, rows[-1].key) if len(rows) == BATCH else None
