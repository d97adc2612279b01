"""Calls as everything that lives: with what their rules keep beside what is shown.

Calls that are open stay so. They have no activeflow, so nothing new is begun in them; the switch is asked whether their
channels are still there.

Revision: 0005.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BITE = 500

_calls = sa.table("calls", *map(sa.column, ("key", "channel_id", "document", "tm_create", "tm_update")))


class _Shown(msgspec.Struct):
    """What has to be known of a call; all of it is taken over as it is."""

    status: str
    tm_progressing: str | None = None


_shown = msgspec.json.Decoder(_Shown)


def upgrade() -> None:
    op.drop_index("calls_customer", table_name="calls")
    op.drop_index("calls_open", table_name="calls")
    with op.batch_alter_table("calls") as batch:
        batch.add_column(sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
        batch.add_column(sa.Column("is_final", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("due_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE calls SET is_final = NOT is_open, tm_update = coalesce(tm_update, tm_create)")
    _convert(op.get_bind())
    with op.batch_alter_table("calls") as batch:
        batch.drop_column("channel_id")
        batch.alter_column("version", server_default=None)
        batch.alter_column("is_final", server_default=None)
        batch.alter_column("tm_update", existing_type=sa.BigInteger(), nullable=False)
    op.create_index("calls_customer", "calls", ["customer_id", "tm_create", "key"], unique=False)
    _partial_index("calls_open", "calls", ["key"], "is_open")
    _partial_index("calls_due", "calls", ["due_at"], "due_at IS NOT NULL")


def _convert(connection: sa.Connection) -> None:
    """Documents that cannot be read stay as they are, and cannot be read."""
    statement = sa.text("UPDATE calls SET document = :document, due_at = :due_at WHERE key = :key")
    for rows in _in_bites(connection):
        converted = [new for row in rows if (new := _converted(row)) is not None]
        if converted:
            connection.execute(statement, converted)


def _in_bites(connection: sa.Connection) -> Iterator[Any]:
    after = -1
    while rows := connection.execute(
        sa.select(_calls).where(_calls.c.key > after).order_by(_calls.c.key).limit(_BITE)
    ).all():
        yield rows
        after = rows[-1].key


def _converted(row: Any) -> dict[str, Any] | None:
    try:
        call = _shown.decode(row.document)
    except msgspec.DecodeError:
        return None
    is_over = call.status == "hangup"
    at = _EPOCH + timedelta(microseconds=row.tm_update)
    document = {
        "state": {
            "call": msgspec.Raw(row.document),
            "switch": "asterisk",
            "channel_id": row.channel_id,
            "is_up": call.tm_progressing is not None,
            "has_rung": True,
            "has_begun": True,
        },
        "timers": {} if is_over else {"ask": at},
        "pending": [],
        "last_at": at,
    }
    return {
        "key": row.key,
        "document": msgspec.json.encode(document),
        "due_at": None if is_over else row.tm_update,
    }


def _partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)
