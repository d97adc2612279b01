"""Flows and numbers; an activeflow keeps where it is in a stack of lists.

Revision: 0008.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
_BITE = 500
_TIMERS = {"sleep": "lasts"}

_activeflows = sa.table("activeflows", *map(sa.column, ("key", "document")))


def upgrade() -> None:
    for name in ("flows", "numbers"):
        _create(name)
    _convert(op.get_bind())


def _create(name: str) -> None:
    op.create_table(
        name,
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.Column("tm_update", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(f"{name}_customer", name, ["customer_id", "tm_create", "key"], unique=False)
    _partial_index(f"{name}_open", name, ["key"], "is_open")
    _partial_index(f"{name}_due", name, ["due_at"], "due_at IS NOT NULL")


def _convert(connection: sa.Connection) -> None:
    """Documents that cannot be read stay as they are, and cannot be read."""
    statement = sa.text("UPDATE activeflows SET document = :document WHERE key = :key")
    for rows in _in_bites(connection):
        converted = [
            {"key": row.key, "document": document}
            for row in rows
            if (document := converted_document(row.document)) is not None
        ]
        if converted:
            connection.execute(statement, converted)


def _in_bites(connection: sa.Connection) -> Iterator[Any]:
    after = -1
    while rows := connection.execute(
        sa.select(_activeflows).where(_activeflows.c.key > after).order_by(_activeflows.c.key).limit(_BITE)
    ).all():
        yield rows
        after = rows[-1].key


def converted_document(document: bytes) -> bytes | None:
    """What a row has become; None if it cannot be read."""
    try:
        kept = msgspec.json.decode(document)
        state = kept["state"]
        place, turn = state["place"], state["turn"]
        execution = {"stack": [{"actions": state.pop("actions"), "place": state.pop("place")}]}
        call_status = "progressing" if place > 0 else "ringing"
        state |= {"execution": execution, "call_status": call_status, "is_left": turn == 0}
        kept["timers"] = {_TIMERS.get(name, name): at for name, at in kept["timers"].items()}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return msgspec.json.encode(kept)


def _partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)
