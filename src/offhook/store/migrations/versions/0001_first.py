"""The first schema.

Revision: 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("delivery_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uri_key", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_key", "number"),
    )
    op.create_table(
        "calls",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.Column("tm_update", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("calls_customer", "calls", ["customer_id", "tm_create", "key"], unique=False)
    op.create_index(
        "calls_open",
        "calls",
        ["key"],
        unique=False,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_table(
        "customers",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone_number", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("rtp_debug", sa.Boolean(), nullable=False),
        sa.Column("webhook_secret", sa.Text(), nullable=False),
        sa.Column("old_webhook_secret", sa.Text(), nullable=False),
        sa.Column("old_webhook_secret_until", sa.BigInteger(), nullable=True),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.Column("tm_update", sa.BigInteger(), nullable=True),
        sa.Column("tm_delete", sa.BigInteger(), nullable=True),
        sa.Column("tm_deletion_scheduled", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("event_key", sa.BigInteger(), nullable=False),
        sa.Column("customer_key", sa.BigInteger(), nullable=False),
        sa.Column("destination_key", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", sa.BigInteger(), nullable=True),
        sa.Column("last_outcome", sa.Text(), nullable=False),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("uri_key", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("tm_done", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("deliveries_customer", "deliveries", ["customer_key", "key"], unique=False)
    op.create_index("deliveries_event", "deliveries", ["event_key"], unique=False)
    op.create_index(
        "deliveries_exhausted",
        "deliveries",
        ["customer_key", "key"],
        unique=False,
        sqlite_where=sa.text("status = 2"),
        postgresql_where=sa.text("status = 2"),
    )
    op.create_index(
        "deliveries_pending",
        "deliveries",
        ["destination_key", "due_at", "key"],
        unique=False,
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_table(
        "events",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_key", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject_key", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("events_id", "events", ["customer_key", "id"], unique=True)
    op.create_index("events_position", "events", ["customer_key", "position"], unique=True)
    op.create_index(
        "events_subject",
        "events",
        ["subject_key", "sequence"],
        unique=False,
        sqlite_where=sa.text("subject_key IS NOT NULL"),
        postgresql_where=sa.text("subject_key IS NOT NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("customer_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("ids", sa.JSON(), nullable=False),
        sa.Column("tm_expire", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_key", "idempotency_key"),
    )
    op.create_index("idempotency_keys_expire", "idempotency_keys", ["tm_expire"], unique=False)
    op.create_table(
        "key_blocks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_key", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "subjects",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("customer_key", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("customer_key", "subject"),
    )
    op.create_table(
        "uris",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("destination_key", sa.BigInteger(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("uris_destination", "uris", ["destination_key"], unique=False)
    op.create_table(
        "access_keys",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_key", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("token_prefix", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("tm_expire", sa.BigInteger(), nullable=True),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.Column("tm_update", sa.BigInteger(), nullable=True),
        sa.Column("tm_delete", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_key"],
            ["customers.key"],
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("access_keys_customer", "access_keys", ["customer_key", "key"], unique=False)
    op.create_table(
        "agents",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_key", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("ring_method", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("permission", sa.Integer(), nullable=False),
        sa.Column("tag_ids", sa.JSON(), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("tm_create", sa.BigInteger(), nullable=False),
        sa.Column("tm_update", sa.BigInteger(), nullable=True),
        sa.Column("tm_delete", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_key"],
            ["customers.key"],
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("agents_customer", "agents", ["customer_key", "key"], unique=False)
    op.create_index(
        "agents_username",
        "agents",
        ["username"],
        unique=True,
        sqlite_where=sa.text("tm_delete IS NULL"),
        postgresql_where=sa.text("tm_delete IS NULL"),
    )
    op.create_table(
        "customer_positions",
        sa.Column("customer_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_key"],
            ["customers.key"],
        ),
        sa.PrimaryKeyConstraint("customer_key"),
    )
    op.create_table(
        "destinations",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("customer_key", sa.BigInteger(), nullable=False),
        sa.Column("activeflow_id", sa.Text(), nullable=False),
        sa.Column("uri_key", sa.BigInteger(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("held_reason", sa.Text(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("tm_update", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_key"],
            ["customers.key"],
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("customer_key", "activeflow_id"),
    )
