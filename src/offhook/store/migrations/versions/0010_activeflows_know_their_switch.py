"""An activeflow knows the switch of its call: its timers stand still while that is out of reach.

Further addresses of executions are found.

Revision: 0010.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BITE = 500

_activeflows = sa.table("activeflows", *map(sa.column, ("key", "is_open", "document")))
# There was one only.
_SWITCH = "asterisk"


def upgrade() -> None:
    """What is over has no timers. Documents that cannot be read stay as they are, and cannot be read."""
    where = sa.text("activeflow_id != ''")
    op.create_index("destinations_own", "destinations", ["key"], sqlite_where=where, postgresql_where=where)
    connection = op.get_bind()
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
        sa.select(_activeflows)
        .where(_activeflows.c.key > after, sa.text("is_open"))
        .order_by(_activeflows.c.key)
        .limit(_BITE)
    ).all():
        yield rows
        after = rows[-1].key


def converted_document(document: bytes) -> bytes | None:
    """What a row has become; None if it stays as it is."""
    try:
        kept = msgspec.json.decode(document)
        state = kept["state"]
        if state["activeflow"]["reference_type"] != "call":
            return None
        state["switch"] = _SWITCH
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return msgspec.json.encode(kept)
