"""Calls: their present state, one row each; the open ones are what a start has to take up."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.catalogue.call import Call, is_open
from offhook.domain.errors import NotFoundError
from offhook.domain.times import to_us
from offhook.store.documents import decoded, decoded_or_none
from offhook.store.paging import Page, page_of
from offhook.store.schema import calls
from offhook.store.transaction import Transaction

_encoder = msgspec.json.Encoder()
_RECENT = 10_000


class StoredCall(msgspec.Struct, frozen=True):
    """A call and the switch's channel that it is."""

    call: Call
    channel_id: str


def add_call(tx: Transaction, call: Call, channel_id: str) -> bool:
    """Keep a new call. False if it is kept already: the answer to an earlier commit was lost."""
    if tx.reader.execute(sa.select(calls.c.key).where(calls.c.id == call.id)).first():
        return False
    tx.add_write(
        sa.insert(calls).values(
            key=tx.next_key("calls"),
            id=call.id,
            customer_id=call.customer_id,
            is_open=is_open(call),
            channel_id=channel_id,
            document=_encoder.encode(call),
            tm_create=to_us(datetime.fromisoformat(call.tm_create)),
            tm_update=tx.now_us,
        )
    )
    return True


def save_call(tx: Transaction, call: Call) -> bool:
    """Keep what a call is now. False if that is kept already: the answer to an earlier commit was lost."""
    document = _encoder.encode(call)
    kept = tx.reader.execute(sa.select(calls.c.document).where(calls.c.id == call.id)).scalar()
    if kept is None or kept == document:
        return False
    tx.add_write(
        sa.update(calls)
        .where(calls.c.id == call.id)
        .values(is_open=is_open(call), document=document, tm_update=tx.now_us)
    )
    return True


def open_calls(connection: sa.Connection) -> list[StoredCall]:
    """Every call that is not over and can be read, oldest first."""
    rows = connection.execute(
        sa.select(calls.c.id, calls.c.document, calls.c.channel_id).where(calls.c.is_open).order_by(calls.c.key)
    ).all()
    return [StoredCall(call, row.channel_id) for row in rows if (call := _read(row)) is not None]


def recent_channels(connection: sa.Connection, channel_ids: Collection[str]) -> set[str]:
    """Which of these channels had a call lately, open or over: those are not new ones.

    Looks at the last calls only, which is enough for a channel that is still alive.
    """
    if not channel_ids:
        return set()
    recent = sa.select(calls.c.channel_id).order_by(calls.c.key.desc()).limit(_RECENT).subquery()
    wanted = sa.select(recent.c.channel_id).where(recent.c.channel_id.in_(channel_ids))
    return set(connection.execute(wanted).scalars())


def get_call(connection: sa.Connection, customer_id: str, call_id: str) -> Call:
    """One call. Raises NotFoundError, and DecodeError if it cannot be read."""
    document = connection.execute(
        sa.select(calls.c.document).where(calls.c.id == call_id, calls.c.customer_id == customer_id)
    ).scalar()
    if document is None:
        raise NotFoundError(f"There is no call {call_id}.", reason="CALL_NOT_FOUND", field="id")
    call: Call = decoded("call", document)
    return call


def list_calls(connection: sa.Connection, customer_id: str, *, page_token: str, page_size: int) -> Page[Call]:
    """A customer's calls that can be read, newest first. Raises InvalidError (page_token)."""
    columns = calls.c.id, calls.c.document, calls.c.tm_create, calls.c.key
    statement = sa.select(*columns).where(calls.c.customer_id == customer_id)
    return page_of(connection, statement, calls, page_token, page_size, _read)


def _read(row: Any) -> Call | None:
    call: Call | None = decoded_or_none("call", row.id, row.document)
    return call
