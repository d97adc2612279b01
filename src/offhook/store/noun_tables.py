"""The tables of what lives: one a noun, all of one shape, and one for the places of their rows in indexes.

A row is a document (`store.commit.port.Document`) and beside it what rows are found by. `version` counts its changes:
who writes says which one was read. A row that `is_open` has to be taken up at a start; one whose `due_at` is there
(microseconds since 1970) has a timer.
"""

from __future__ import annotations

import sqlalchemy as sa

from offhook.store.columns import Key, Micros, Plain, partial_index

# Written like this in the query too: only so can SQLite's planner use the partial index.
IS_OPEN = sa.text("is_open")


def noun_table(kind: str, metadata: sa.MetaData) -> sa.Table:
    """The table of a noun's rows."""
    name = f"{kind}s"
    table = sa.Table(
        name,
        metadata,
        sa.Column("key", Key, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        # "" is nobody's.
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("is_final", sa.Boolean, nullable=False),
        sa.Column("due_at", Micros, nullable=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("tm_create", Micros, nullable=False),
        sa.Column("tm_update", Micros, nullable=False),
    )
    sa.Index(f"{name}_customer", table.c.customer_id, table.c.tm_create, table.c.key)
    partial_index(f"{name}_open", IS_OPEN, table.c.key)
    partial_index(f"{name}_due", table.c.due_at.is_not(None), table.c.due_at)
    return table


def places_table(metadata: sa.MetaData) -> sa.Table:
    """Where rows that are not final stand in the indexes of their noun (`Noun.indexes`)."""
    table = sa.Table(
        "places",
        metadata,
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("rank", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", Plain, primary_key=True),
        sqlite_with_rowid=False,
    )
    sa.Index("places_row", table.c.kind, table.c.id)
    return table
