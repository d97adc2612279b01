"""Customers: one row each, with their webhook beside it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from offhook.domain.accounts.customer import Customer, WebhookSecrets
from offhook.domain.errors import NotFoundError
from offhook.domain.place import Place
from offhook.store.commit.transaction import Transaction
from offhook.store.database.paging import Listed, page_before
from offhook.store.queries.destinations import add_destination, secrets_changed, webhook_of
from offhook.store.schema import customer_positions, customers


def add_customer(tx: Transaction, customer_id: str, secret: str, profile: dict[str, str]) -> None:
    """Make a customer, with its webhook switched off."""
    key = tx.next_key("customers")
    tx.learn_customer(customer_id, key)
    tx.add_write(
        sa.insert(customers).values(
            key=key, id=customer_id, webhook_secret=secret, tm_create=tx.now_us, tm_update=None, **profile
        )
    )
    tx.add_write(sa.insert(customer_positions).values(customer_key=key, position=0))
    add_destination(tx, customer_id)
    tx.committed.has_changed_accounts = True


def change_customer(tx: Transaction, customer_id: str, **values: Any) -> None:
    """Change columns of a customer that is there. Raises NotFoundError."""
    key = key_of_customer(tx, customer_id)
    tx.add_write(sa.update(customers).where(customers.c.key == key).values(tm_update=tx.now_us, **values))
    tx.committed.has_changed_accounts = True


def key_of_customer(tx: Transaction, customer_id: str) -> int:
    """The key of a customer that is there. Raises NotFoundError, also for a deleted one."""
    key: int | None = tx.reader.execute(
        sa.select(customers.c.key).where(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
    ).scalar()
    if key is None:
        raise _not_found(customer_id)
    return key


def get_customer(connection: sa.Connection, customer_id: str) -> Customer:
    """One customer. Raises NotFoundError, also for a deleted one."""
    row = connection.execute(
        sa.select(customers).where(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
    ).one_or_none()
    if row is None:
        raise _not_found(customer_id)
    return _customer(connection, row)


def list_customers(connection: sa.Connection, *, before: Place | None, page_size: int) -> Listed[Customer]:
    """Every customer that is not deleted, newest first."""
    statement = sa.select(customers).where(customers.c.tm_delete.is_(None))
    return page_before(connection, statement, customers, before, page_size, lambda row: _customer(connection, row))


def count_customers(connection: sa.Connection) -> int:
    """How many customers there ever were."""
    return connection.execute(sa.select(sa.func.count()).select_from(customers)).scalar_one()


def oldest_active_customer(connection: sa.Connection) -> str | None:
    """The id of the active customer that was made first; None if there is none."""
    return connection.execute(
        sa.select(customers.c.id)
        .where(customers.c.tm_delete.is_(None), customers.c.status == "active")
        .order_by(customers.c.key)
        .limit(1)
    ).scalar()


def exists(connection: sa.Connection, customer_id: str) -> bool:
    """Whether there is such a customer, frozen or not."""
    mine = sa.and_(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
    return connection.execute(sa.select(customers.c.key).where(mine)).first() is not None


def is_active(connection: sa.Connection, customer_id: str) -> bool:
    """Whether there is such a customer, neither frozen nor deleted."""
    columns = customers.c
    found = connection.execute(sa.select(columns.status, columns.tm_delete).where(columns.id == customer_id)).first()
    return found is not None and tuple(found) == ("active", None)


def overdue_customers(connection: sa.Connection, now_us: int) -> list[str]:
    """The ids of the frozen customers whose announced deletion is due at `now_us`, the oldest first."""
    due = sa.select(customers.c.id).where(
        customers.c.tm_delete.is_(None), customers.c.status == "frozen", customers.c.tm_deletion_scheduled <= now_us
    )
    return list(connection.execute(due.order_by(customers.c.key)).scalars())


def get_secrets(connection: sa.Connection, customer_id: str) -> WebhookSecrets:
    """A customer's secrets. Raises NotFoundError."""
    row = connection.execute(
        sa.select(
            customers.c.webhook_secret, customers.c.old_webhook_secret, customers.c.old_webhook_secret_until
        ).where(customers.c.id == customer_id)
    ).one_or_none()
    if row is None:
        raise _not_found(customer_id)
    return WebhookSecrets(
        present=row.webhook_secret,
        old=tuple(row.old_webhook_secret.split()),
        old_until_us=row.old_webhook_secret_until,
    )


def set_secrets(tx: Transaction, customer_id: str, secrets: WebhookSecrets) -> None:
    """Sign with these from this commit on. Raises NotFoundError, also for a deleted customer."""
    secrets_changed(tx, customer_id)
    change_customer(
        tx,
        customer_id,
        webhook_secret=secrets.present,
        old_webhook_secret=" ".join(secrets.old),
        old_webhook_secret_until=secrets.old_until_us,
    )


def _not_found(customer_id: str) -> NotFoundError:
    return NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND", field="id")


def _customer(connection: sa.Connection, row: sa.Row[Any]) -> Customer:
    webhook = webhook_of(connection, row.id)
    return Customer(
        id=row.id,
        name=row.name,
        detail=row.detail,
        email=row.email,
        phone_number=row.phone_number,
        address=row.address,
        has_rtp_debug=row.rtp_debug,
        status=row.status,
        webhook_uri=webhook.uri,
        webhook_method=webhook.method,
        webhook_held_reason=webhook.held_reason,
        webhook_secret=row.webhook_secret,
        deletion_scheduled_us=row.tm_deletion_scheduled,
        created_us=row.tm_create,
        updated_us=row.tm_update,
        deleted_us=row.tm_delete,
    )
