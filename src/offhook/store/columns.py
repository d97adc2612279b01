"""What columns are made of, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

# SQLite makes a column the row's own key only if its type is spelled INTEGER.
Key = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
Micros = sa.BigInteger
# In the order of its bytes, as Python sorts it, wherever the database was made.
Plain = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def partial_index(
    name: str, condition: sa.ColumnElement[bool] | sa.TextClause, *columns: sa.Column[object]
) -> sa.Index:
    """An index of only those rows that fulfil `condition`."""
    return sa.Index(name, *columns, sqlite_where=condition, postgresql_where=condition)
