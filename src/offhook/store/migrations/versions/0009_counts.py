"""What is counted of destinations by the minute and the hour, and how they are doing.

Nothing is counted of what was before, except what is pending; `counted_since` says so.

Revision: 0009.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
_COUNTERS = ("created", "delivered_first", "delivered_later", "failed", "exhausted", "cancelled")


def upgrade() -> None:
    for name in ("minute_counts", "hour_counts"):
        op.create_table(
            name,
            sa.Column("destination_key", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("starts_at", sa.BigInteger(), autoincrement=False, nullable=False),
            *(sa.Column(counter, sa.BigInteger(), nullable=False) for counter in _COUNTERS),
            sa.Column("attempts", sa.LargeBinary(), nullable=True),
            sa.PrimaryKeyConstraint("destination_key", "starts_at"),
            sqlite_with_rowid=False,
        )
        op.create_index(f"{name}_age", name, ["starts_at"], unique=False)
    op.create_table(
        "destination_totals",
        sa.Column("destination_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("last_created_at", sa.BigInteger(), nullable=True),
        sa.Column("counted_since", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("destination_key"),
    )
    op.add_column("destinations", sa.Column("is_probed", sa.Boolean(), nullable=True))
    op.add_column("destinations", sa.Column("failing_outcome", sa.Text(), nullable=True))
    op.add_column("destinations", sa.Column("failing_status_code", sa.Integer(), nullable=True))
    op.add_column("destinations", sa.Column("failing_detail", sa.Text(), nullable=True))
    op.add_column("destinations", sa.Column("answering_since", sa.BigInteger(), nullable=True))
    _count_what_is_pending()


def _count_what_is_pending() -> None:
    """By its index. A webhook's newest delivery is that of its customer's newest event, if it was on by then."""
    op.get_bind().execute(
        sa.text(
            "INSERT INTO destination_totals (destination_key, pending, last_created_at, counted_since) "
            "SELECT d.key, "
            "(SELECT count(*) FROM deliveries WHERE deliveries.destination_key = d.key AND deliveries.status = 0), "
            "(SELECT CASE WHEN events.tm_create >= d.tm_update THEN events.tm_create END FROM events "
            "WHERE events.customer_key = d.customer_key AND d.activeflow_id = '' AND d.uri_key IS NOT NULL "
            "ORDER BY events.position DESC LIMIT 1), "
            ":now FROM destinations d"
        ),
        {"now": time.time_ns() // 1000},
    )
