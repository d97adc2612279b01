"""Secrets of the server's own, made once for each database."""

from __future__ import annotations

import sqlalchemy as sa

from offhook.store.commit.transaction import Transaction
from offhook.store.schema import secrets


def secret_of(tx: Transaction, name: str, otherwise: str) -> str:
    """The secret of this name; `otherwise` from now on, if there is none yet."""
    found = tx.reader.execute(sa.select(secrets.c.value).where(secrets.c.name == name)).scalar()
    if found is not None:
        return str(found)
    tx.add_write(sa.insert(secrets).values(name=name, value=otherwise))
    return otherwise
