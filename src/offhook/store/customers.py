"""Customers: one row each, with their webhook beside it."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.customer import Customer, uri_warnings
from offhook.domain.errors import NotFoundError
from offhook.domain.ids import NIL_UUID
from offhook.domain.place import Place
from offhook.domain.times import rfc3339_or_none
from offhook.store.destinations import OFF, add_destination, webhook_of
from offhook.store.paging import Listed, page_before
from offhook.store.schema import customer_positions, customers
from offhook.store.transaction import Transaction

PROFILE_FIELDS = ("name", "detail", "email", "phone_number", "address")


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
    key = expect_customer(tx, customer_id)
    tx.add_write(sa.update(customers).where(customers.c.key == key).values(tm_update=tx.now_us, **values))
    tx.committed.has_changed_accounts = True


def expect_customer(tx: Transaction, customer_id: str) -> int:
    """The key of a customer that is there. Raises NotFoundError, also for a deleted one."""
    key: int | None = tx.reader.execute(
        sa.select(customers.c.key).where(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
    ).scalar()
    if key is None:
        raise _not_found(customer_id)
    return key


def get_customer(connection: sa.Connection, customer_id: str, *, with_secret: bool = False) -> Customer:
    """One customer. Raises NotFoundError, also for a deleted one."""
    row = connection.execute(
        sa.select(customers).where(customers.c.id == customer_id, customers.c.tm_delete.is_(None))
    ).one_or_none()
    if row is None:
        raise _not_found(customer_id)
    return _customer(connection, row, with_secret=with_secret)


def list_customers(connection: sa.Connection, *, before: Place | None, page_size: int) -> Listed[Customer]:
    """Every customer that is not deleted, newest first."""
    statement = sa.select(customers).where(customers.c.tm_delete.is_(None))
    return page_before(connection, statement, customers, before, page_size, lambda row: _customer(connection, row))


def count_customers(connection: sa.Connection) -> int:
    """How many customers there ever were."""
    return connection.execute(sa.select(sa.func.count()).select_from(customers)).scalar_one()


def first_customer_id(connection: sa.Connection) -> str | None:
    """The oldest active customer: whose calls the built-in numbers are, until there are numbers."""
    return connection.execute(
        sa.select(customers.c.id)
        .where(customers.c.tm_delete.is_(None), customers.c.status == "active")
        .order_by(customers.c.key)
        .limit(1)
    ).scalar()


def live_secrets(connection: sa.Connection, customer_id: str, now_us: int) -> list[str]:
    """The secrets that sign at `now_us`, newest first. Raises NotFoundError."""
    row = connection.execute(
        sa.select(
            customers.c.webhook_secret, customers.c.old_webhook_secret, customers.c.old_webhook_secret_until
        ).where(customers.c.id == customer_id)
    ).one_or_none()
    if row is None:
        raise _not_found(customer_id)
    is_old_live = row.old_webhook_secret_until is not None and now_us < row.old_webhook_secret_until
    return [row.webhook_secret, *(row.old_webhook_secret.split() if is_old_live else ())]


def _not_found(customer_id: str) -> NotFoundError:
    return NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND", field="id")


def _customer(connection: sa.Connection, row: sa.Row[Any], *, with_secret: bool = False) -> Customer:
    webhook = webhook_of(connection, row.id)
    warnings = uri_warnings(webhook.uri)
    return Customer(
        id=row.id,
        name=row.name,
        detail=row.detail,
        email=row.email,
        phone_number=row.phone_number,
        address=row.address,
        webhook_method=webhook.method if webhook.uri else "",
        webhook_uri=webhook.uri,
        billing_account_id=NIL_UUID,
        metadata={"rtp_debug": row.rtp_debug},
        email_verified=True,
        status=row.status,
        identity_verification_status="none",
        tm_deletion_scheduled=rfc3339_or_none(row.tm_deletion_scheduled),
        tm_create=rfc3339_or_none(row.tm_create),
        tm_update=rfc3339_or_none(row.tm_update),
        tm_delete=rfc3339_or_none(row.tm_delete),
        webhook_disabled_reason="" if webhook.held_reason == OFF else webhook.held_reason,
        webhook_secret=row.webhook_secret if with_secret else msgspec.UNSET,
        warnings=warnings or msgspec.UNSET,
    )
