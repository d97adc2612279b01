"""Access keys: only a hash of the secret is kept."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.accounts.access_key import AccessKey, NewAccessKey
from offhook.domain.errors import NotFoundError
from offhook.domain.place import Place
from offhook.store.commit.transaction import Transaction
from offhook.store.database.paging import Listed, page_before
from offhook.store.schema import access_keys, customers


class KeyHolder(msgspec.Struct, frozen=True):
    """Whose key it is, and until when (microseconds, None for ever)."""

    customer_id: str
    customer_status: str
    expire_us: int | None


def add_access_key(tx: Transaction, key_id: str, customer_id: str, new: NewAccessKey) -> None:
    """Make an access key."""
    tx.add_write(
        sa.insert(access_keys).values(
            key=tx.next_key("access_keys"),
            id=key_id,
            customer_key=tx.customer_key(customer_id),
            name=new.name,
            detail=new.detail,
            token_prefix=new.token_prefix,
            token_hash=new.token_hash,
            tm_expire=new.expire_us,
            tm_create=tx.now_us,
        )
    )
    tx.committed.has_changed_accounts = True


def change_access_key(tx: Transaction, customer_id: str, key_id: str, **values: Any) -> None:
    """Change columns of a key, also of a deleted one. Raises NotFoundError."""
    mine = sa.and_(access_keys.c.id == key_id, access_keys.c.customer_key == tx.customer_key(customer_id))
    if tx.reader.execute(sa.select(access_keys.c.key).where(mine)).first() is None:
        raise _not_found(key_id)
    tx.add_write(sa.update(access_keys).where(mine).values(tm_update=tx.now_us, **values))
    tx.committed.has_changed_accounts = True


def get_access_key(connection: sa.Connection, customer_id: str, key_id: str, *, deleted: bool = False) -> AccessKey:
    """One key. Raises NotFoundError."""
    statement = _select.where(access_keys.c.id == key_id, customers.c.id == customer_id)
    row = connection.execute(statement if deleted else statement.where(access_keys.c.tm_delete.is_(None))).one_or_none()
    if row is None:
        raise _not_found(key_id)
    return _access_key(row)


def list_access_keys(
    connection: sa.Connection, customer_id: str, *, before: Place | None, page_size: int
) -> Listed[AccessKey]:
    """A customer's keys, newest first."""
    statement = _select.where(customers.c.id == customer_id, access_keys.c.tm_delete.is_(None))
    return page_before(connection, statement, access_keys, before, page_size, _access_key)


def find_key_holder(connection: sa.Connection, token_hash: str) -> KeyHolder | None:
    """Whose key has this hash."""
    row = connection.execute(
        _select.where(
            access_keys.c.token_hash == token_hash,
            access_keys.c.tm_delete.is_(None),
            customers.c.tm_delete.is_(None),
        )
    ).first()
    if row is None:
        return None
    return KeyHolder(customer_id=row.customer_id, customer_status=row.customer_status, expire_us=row.tm_expire)


_select: sa.Select[Any] = sa.select(
    access_keys, customers.c.id.label("customer_id"), customers.c.status.label("customer_status")
).select_from(access_keys.join(customers, customers.c.key == access_keys.c.customer_key))


def _not_found(key_id: str) -> NotFoundError:
    return NotFoundError(f"There is no access key {key_id}.", reason="ACCESSKEY_NOT_FOUND", field="id")


def _access_key(row: sa.Row[Any]) -> AccessKey:
    return AccessKey(
        id=row.id,
        customer_id=row.customer_id,
        name=row.name,
        detail=row.detail,
        token_prefix=row.token_prefix,
        expire_us=row.tm_expire,
        created_us=row.tm_create,
        updated_us=row.tm_update,
        deleted_us=row.tm_delete,
    )
