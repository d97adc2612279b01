"""What retention, erasing and bounded lists need.

Revision: 0002.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
_THIRTY_DAYS_US = 30 * 86_400 * 1_000_000


def upgrade() -> None:
    op.create_table(
        "retention_places",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("event_key", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule"),
    )
    op.create_table(
        "overdue_events",
        sa.Column("event_key", _KEY, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("event_key"),
    )
    op.add_column("destinations", sa.Column("due_mark", sa.BigInteger(), nullable=True))
    op.add_column("uris", sa.Column("tm_replaced", sa.BigInteger(), nullable=True))
    op.add_column("subjects", sa.Column("erase_to", sa.BigInteger(), nullable=True))
    op.add_column("subjects", sa.Column("forget_at", sa.BigInteger(), nullable=True))
    _partial_index("uris_replaced", "uris", ["tm_replaced", "key"], "tm_replaced IS NOT NULL")
    _partial_index("subjects_erasing", "subjects", ["key"], "erase_to IS NOT NULL")
    _partial_index("subjects_forget", "subjects", ["forget_at"], "forget_at IS NOT NULL")
    _partial_index("destinations_making_due", "destinations", ["key"], "due_mark IS NOT NULL")
    _partial_index("destinations_deleted", "destinations", ["key"], "held_reason = 'deleted'")
    _partial_index("deliveries_waiting", "deliveries", ["customer_key", "key"], "status = 0")
    _partial_index("deliveries_cancelled", "deliveries", ["customer_key", "key"], "status = 3")
    _partial_index("deliveries_failed", "deliveries", ["destination_key", "key"], "status = 0 AND attempt_count > 0")
    _note_what_was_left()


def _partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)


def _note_what_was_left() -> None:
    """What earlier versions never looked at again is forgotten from now on."""
    now_us = time.time_ns() // 1000
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "UPDATE uris SET tm_replaced = :now WHERE NOT EXISTS "
            "(SELECT 1 FROM destinations WHERE destinations.uri_key = uris.key AND destinations.key = destination_key)"
        ),
        {"now": now_us},
    )
    connection.execute(
        sa.text(
            "UPDATE subjects SET forget_at = :later WHERE NOT EXISTS "
            "(SELECT 1 FROM events WHERE events.subject_key = subjects.key)"
        ),
        {"later": now_us + _THIRTY_DAYS_US},
    )
    # Their events and their subjects are gone already.
    connection.execute(
        sa.text(
            "DELETE FROM calls WHERE NOT is_open AND NOT EXISTS (SELECT 1 FROM customers JOIN subjects "
            "ON subjects.customer_key = customers.key AND subjects.subject = 'call/' || calls.id "
            "WHERE customers.id = calls.customer_id)"
        )
    )
