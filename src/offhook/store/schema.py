"""The tables, the same on SQLite and PostgreSQL.

Keys are integers in order of insertion, handed out in blocks (`key_blocks`), so that rows are appended and never
scattered. Points in time are microseconds since 1970. A payload is stored once, in `events`; deliveries refer to it.
What a customer has pending is found through one partial index, `deliveries_pending`: rows that are done leave it,
so a backlog costs nothing to those who have none.
"""

from __future__ import annotations

from enum import IntEnum

import sqlalchemy as sa

from offhook.store.columns import Key, Micros
from offhook.store.noun_tables import noun_table, places_table

metadata = sa.MetaData()


class DeliveryStatus(IntEnum):
    """`deliveries.status`. Held is no status of its own: it is what a pending delivery of a stopped destination is."""

    PENDING = 0
    SUCCEEDED = 1
    EXHAUSTED = 2
    CANCELLED = 3


key_blocks = sa.Table(
    "key_blocks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("next_key", sa.BigInteger, nullable=False),
)

# One row, written by every group: whether a COMMIT whose answer was lost was one (`store.marker`).
last_group = sa.Table(
    "last_group",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False, default=""),
    sa.Column("detail", sa.Text, nullable=False, default=""),
    sa.Column("email", sa.Text, nullable=False, default=""),
    sa.Column("phone_number", sa.Text, nullable=False, default=""),
    sa.Column("address", sa.Text, nullable=False, default=""),
    sa.Column("status", sa.Text, nullable=False, default="active"),
    sa.Column("rtp_debug", sa.Boolean, nullable=False, default=False),
    sa.Column("webhook_secret", sa.Text, nullable=False),
    # Those that still sign, newest first, separated by spaces.
    sa.Column("old_webhook_secret", sa.Text, nullable=False, default=""),
    sa.Column("old_webhook_secret_until", Micros, nullable=True),
    sa.Column("tm_create", Micros, nullable=False),
    sa.Column("tm_update", Micros, nullable=True),
    sa.Column("tm_delete", Micros, nullable=True),
    sa.Column("tm_deletion_scheduled", Micros, nullable=True),
)

# Apart from `customers`: this row is rewritten by every commit, and its lock is what orders a customer's events.
customer_positions = sa.Table(
    "customer_positions",
    metadata,
    sa.Column("customer_key", Key, sa.ForeignKey("customers.key"), primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, nullable=False, default=0),
)

agents = sa.Table(
    "agents",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("customer_key", sa.BigInteger, sa.ForeignKey("customers.key"), nullable=False),
    # Unique over all customers (a log in names no customer); a deleted agent gives its name back.
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    # Counted up by a password change, so that tokens of before are refused.
    sa.Column("token_version", sa.Integer, nullable=False, default=0),
    sa.Column("name", sa.Text, nullable=False, default=""),
    sa.Column("detail", sa.Text, nullable=False, default=""),
    sa.Column("ring_method", sa.Text, nullable=False, default="ringall"),
    sa.Column("status", sa.Text, nullable=False, default="offline"),
    sa.Column("permission", sa.Integer, nullable=False),
    sa.Column("tag_ids", sa.JSON, nullable=False, default=list),
    sa.Column("addresses", sa.JSON, nullable=False, default=list),
    sa.Column("tm_create", Micros, nullable=False),
    sa.Column("tm_update", Micros, nullable=True),
    sa.Column("tm_delete", Micros, nullable=True),
)
sa.Index(
    "agents_username",
    agents.c.username,
    unique=True,
    sqlite_where=agents.c.tm_delete.is_(None),
    postgresql_where=agents.c.tm_delete.is_(None),
)
sa.Index("agents_customer", agents.c.customer_key, agents.c.key)

access_keys = sa.Table(
    "access_keys",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("customer_key", sa.BigInteger, sa.ForeignKey("customers.key"), nullable=False),
    sa.Column("name", sa.Text, nullable=False, default=""),
    sa.Column("detail", sa.Text, nullable=False, default=""),
    sa.Column("token_prefix", sa.Text, nullable=False),
    sa.Column("token_hash", sa.Text, nullable=False, unique=True),
    sa.Column("tm_expire", Micros, nullable=True),
    sa.Column("tm_create", Micros, nullable=False),
    sa.Column("tm_update", Micros, nullable=True),
    sa.Column("tm_delete", Micros, nullable=True),
)
sa.Index("access_keys_customer", access_keys.c.customer_key, access_keys.c.key)

destinations = sa.Table(
    "destinations",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("customer_key", sa.BigInteger, sa.ForeignKey("customers.key"), nullable=False),
    # "" is the customer's own webhook.
    sa.Column("activeflow_id", sa.Text, nullable=False, default=""),
    # The row of `uris` it points to now; null while it is off.
    sa.Column("uri_key", sa.BigInteger, nullable=True),
    sa.Column("method", sa.Text, nullable=False, default=""),
    # "" or why nothing is sent: off, gone, failing, frozen, deleted.
    sa.Column("held_reason", sa.Text, nullable=False, default=""),
    # Start of the present run of failures: five days of it disable the destination. Whether it is long enough for
    # probing (null, written by an earlier version, says so too), and how the last attempt failed.
    sa.Column("failing_since", Micros, nullable=True),
    sa.Column("is_probed", sa.Boolean, nullable=True),
    sa.Column("failing_outcome", sa.Text, nullable=True),
    sa.Column("failing_status_code", sa.Integer, nullable=True),
    sa.Column("failing_detail", sa.Text, nullable=True),
    # End of the last run of failures at the present uri.
    sa.Column("answering_since", Micros, nullable=True),
    sa.Column("tm_update", Micros, nullable=True),
    # When it was pointed elsewhere or enabled again, while what failed before is made due in steps; null otherwise.
    sa.Column("due_mark", Micros, nullable=True),
    sa.UniqueConstraint("customer_key", "activeflow_id"),
)
IS_MAKING_DUE = destinations.c.due_mark.is_not(None)
sa.Index("destinations_making_due", destinations.c.key, sqlite_where=IS_MAKING_DUE, postgresql_where=IS_MAKING_DUE)
# Those whose customer was deleted and that may still have something pending: it is cancelled in steps.
IS_DELETED = destinations.c.held_reason == sa.text("'deleted'")
sa.Index("destinations_deleted", destinations.c.key, sqlite_where=IS_DELETED, postgresql_where=IS_DELETED)

# The further addresses of executions.
IS_OWN = destinations.c.activeflow_id != sa.text("''")
sa.Index("destinations_own", destinations.c.key, sqlite_where=IS_OWN, postgresql_where=IS_OWN)

# Every uri a destination had, so that an attempt can name its own by a number.
uris = sa.Table(
    "uris",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("destination_key", sa.BigInteger, nullable=False),
    sa.Column("uri", sa.Text, nullable=False),
    # When its destination was pointed elsewhere; null while it is in use.
    sa.Column("tm_replaced", Micros, nullable=True),
)
sa.Index("uris_destination", uris.c.destination_key)
_replaced = uris.c.tm_replaced.is_not(None)
sa.Index("uris_replaced", uris.c.tm_replaced, uris.c.key, sqlite_where=_replaced, postgresql_where=_replaced)

subjects = sa.Table(
    "subjects",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("customer_key", sa.BigInteger, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    # Set while an erasure is under way: events up to this sequence are as good as erased.
    sa.Column("erase_to", sa.BigInteger, nullable=True),
    # Set when its last event was forgotten: from then on it may be forgotten too. A new event sets it back.
    sa.Column("forget_at", Micros, nullable=True),
    sa.UniqueConstraint("customer_key", "subject"),
)
_erasing = subjects.c.erase_to.is_not(None)
sa.Index("subjects_erasing", subjects.c.key, sqlite_where=_erasing, postgresql_where=_erasing)
_forgettable = subjects.c.forget_at.is_not(None)
sa.Index("subjects_forget", subjects.c.forget_at, sqlite_where=_forgettable, postgresql_where=_forgettable)

events = sa.Table(
    "events",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("customer_key", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("subject_key", sa.BigInteger, nullable=True),
    sa.Column("sequence", sa.BigInteger, nullable=True),
    # Empty once erased: the row stays as a tombstone.
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("tm_create", Micros, nullable=False),
)
sa.Index("events_position", events.c.customer_key, events.c.position, unique=True)
sa.Index("events_id", events.c.customer_key, events.c.id, unique=True)
sa.Index(
    "events_subject",
    events.c.subject_key,
    events.c.sequence,
    sqlite_where=events.c.subject_key.is_not(None),
    postgresql_where=events.c.subject_key.is_not(None),
)

# What an erasure under way has not come to yet, wherever events are read with their subject.
IS_ERASING = sa.and_(subjects.c.erase_to.is_not(None), events.c.sequence <= subjects.c.erase_to)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("key", Key, primary_key=True, autoincrement=False),
    sa.Column("event_key", sa.BigInteger, nullable=False),
    sa.Column("customer_key", sa.BigInteger, nullable=False),
    sa.Column("destination_key", sa.BigInteger, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    # When it is to be sent next. A fresh one's never runs backwards, so that this order is the order of commits.
    sa.Column("due_at", Micros, nullable=False),
    sa.Column("tm_create", Micros, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False, default=0),
    # End of its first failure: `order_hold` counts from here.
    sa.Column("first_failed_at", Micros, nullable=True),
    sa.Column("last_outcome", sa.Text, nullable=False, default=""),
    sa.Column("last_status_code", sa.Integer, nullable=True),
    # The last attempt, if it ended the delivery; the failures before it are rows of `attempts`.
    sa.Column("uri_key", sa.BigInteger, nullable=True),
    sa.Column("started_at", Micros, nullable=True),
    sa.Column("latency_ms", sa.Integer, nullable=True),
    sa.Column("response", sa.LargeBinary, nullable=True),
    sa.Column("tm_done", Micros, nullable=True),
)
# Written into the statement, not bound to it: only so can a planner use the partial indexes below.
IS_PENDING = deliveries.c.status == sa.text(str(int(DeliveryStatus.PENDING)))
IS_EXHAUSTED = deliveries.c.status == sa.text(str(int(DeliveryStatus.EXHAUSTED)))
IS_CANCELLED = deliveries.c.status == sa.text(str(int(DeliveryStatus.CANCELLED)))
HAS_FAILED = sa.and_(IS_PENDING, deliveries.c.attempt_count > sa.text("0"))
sa.Index(
    "deliveries_pending",
    deliveries.c.destination_key,
    deliveries.c.due_at,
    deliveries.c.key,
    sqlite_where=IS_PENDING,
    postgresql_where=IS_PENDING,
)
# What a list of one status reads. Those that succeeded are found among all: they are most of them.
for _name, _condition in (
    ("waiting", IS_PENDING),
    ("exhausted", IS_EXHAUSTED),
    ("cancelled", IS_CANCELLED),
):
    sa.Index(
        f"deliveries_{_name}",
        deliveries.c.customer_key,
        deliveries.c.key,
        sqlite_where=_condition,
        postgresql_where=_condition,
    )
# What waits for a retry: no row is in it that succeeds at once.
sa.Index(
    "deliveries_failed",
    deliveries.c.destination_key,
    deliveries.c.key,
    sqlite_where=HAS_FAILED,
    postgresql_where=HAS_FAILED,
)
sa.Index("deliveries_event", deliveries.c.event_key)
sa.Index("deliveries_customer", deliveries.c.customer_key, deliveries.c.key)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery_key", Key, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uri_key", sa.BigInteger, nullable=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status_code", sa.Integer, nullable=True),
    sa.Column("started_at", Micros, nullable=False),
    sa.Column("latency_ms", sa.Integer, nullable=False),
    sa.Column("response", sa.LargeBinary, nullable=False),
    # Why no answer came, in words.
    sa.Column("detail", sa.Text, nullable=True),
)


def _counts(name: str) -> sa.Table:
    """What was counted of a destination (`domain.delivery.counts`), in the span that begins at `starts_at`."""
    return sa.Table(
        name,
        metadata,
        sa.Column("destination_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("starts_at", Micros, primary_key=True, autoincrement=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("delivered_first", sa.BigInteger, nullable=False),
        sa.Column("delivered_later", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("exhausted", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.BigInteger, nullable=False),
        # Of the attempts: steps of latency, and failures by outcome and status. Null: there was none.
        sa.Column("attempts", sa.LargeBinary, nullable=True),
        # One destination's beside each other, in order of time.
        sqlite_with_rowid=False,
    )


minute_counts = _counts("minute_counts")
sa.Index("minute_counts_age", minute_counts.c.starts_at)
hour_counts = _counts("hour_counts")
sa.Index("hour_counts_age", hour_counts.c.starts_at)

# What is true of a destination now, and would have to be counted otherwise.
destination_totals = sa.Table(
    "destination_totals",
    metadata,
    sa.Column("destination_key", Key, primary_key=True, autoincrement=False),
    sa.Column("pending", sa.BigInteger, nullable=False),
    # When its newest delivery was created.
    sa.Column("last_created_at", Micros, nullable=True),
    # When counting began, for destinations that are older than that; null otherwise.
    sa.Column("counted_since", Micros, nullable=True),
)

# What was answered to a request with an `Idempotency-Key`, for 24 hours.
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("customer_key", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("idempotency_key", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("ids", sa.JSON, nullable=False),
    sa.Column("tm_expire", Micros, nullable=False),
)
sa.Index("idempotency_keys_expire", idempotency_keys.c.tm_expire)

# What lives (`store.commit.tables`).
NOUN_TABLES = {kind: noun_table(kind, metadata) for kind in ("call", "activeflow", "flow", "number")}
"""By kind. What a row is told of has the subject `<kind>/<id>`."""
places = places_table(metadata)

# How far retention has come: the key of the last event that each of its rules has looked at.
retention_places = sa.Table(
    "retention_places",
    metadata,
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("event_key", sa.BigInteger, nullable=False),
)

# Events that were pending when retention came by: it looks at them again.
overdue_events = sa.Table(
    "overdue_events",
    metadata,
    sa.Column("event_key", Key, primary_key=True, autoincrement=False),
)
