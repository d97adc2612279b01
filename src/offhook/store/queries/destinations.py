"""Destinations: where a customer's events go, and what keeps them from going.

Whatever changes a destination's uri, method, secrets or state adds its key to `tx.committed.changed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from offhook.domain.delivery.delivery import DELETED, FAILING, FROZEN, GONE, OFF, Destination
from offhook.domain.delivery.health import Health
from offhook.domain.errors import NotFoundError
from offhook.store.commit.destination_rows import SELECT, destination_of
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.making_due import make_due
from offhook.store.schema import customers, destinations, uris

_CLEAN: Mapping[str, None] = dict.fromkeys(
    ("failing_since", "is_probed", "failing_outcome", "failing_status_code", "failing_detail", "answering_since")
)


def add_destination(tx: Transaction, customer_id: str) -> int:
    """Give a new customer its webhook, switched off. Returns the destination's key."""
    key = tx.next_key("destinations")
    tx.add_write(sa.insert(destinations).values(key=key, customer_key=tx.customer_key(customer_id), held_reason=OFF))
    return key


def set_webhook(tx: Transaction, customer_id: str, *, uri: str, method: str) -> None:
    """Point the customer's webhook to `uri`, with a clean health; "" holds what is pending. Raises NotFoundError.

    What waits for a retry waits no longer; where that is much, it is made due in steps (`making_due`).
    """
    reason = (FROZEN if _is_frozen(tx, customer_id) else "") if uri else OFF
    key = _key_of(tx, customer_id)
    _replace_uris(tx, [key])
    uri_key = None
    if uri:
        uri_key = tx.next_key("uris")
        tx.add_write(sa.insert(uris).values(key=uri_key, destination_key=key, uri=uri))
    tx.add_write(
        sa.update(destinations)
        .where(destinations.c.key == key)
        .values(uri_key=uri_key, method=method, held_reason=reason, due_mark=None, tm_update=tx.now_us, **_CLEAN)
    )
    if uri:
        _send_at_once(tx, key)
    tx.committed.changed.add(key)


def enable_webhook(tx: Transaction, customer_id: str) -> None:
    """Use a disabled webhook again, with a clean health. Raises NotFoundError.

    One that is off stays off, a frozen customer's stays frozen, and one that is in use goes on.
    """
    key, is_frozen = _key_of(tx, customer_id), _is_frozen(tx, customer_id)
    mine = destinations.c.key == key
    if tx.reader.execute(sa.select(destinations.c.held_reason).where(mine)).scalar() in (GONE, FAILING):
        reason = FROZEN if is_frozen else ""
        enabled = {"held_reason": reason, "tm_update": tx.now_us, **_CLEAN}
        tx.add_write(sa.update(destinations).where(mine).values(enabled))
        if not is_frozen:
            _send_at_once(tx, key)
    tx.committed.changed.add(key)


def disable(tx: Transaction, key: int, reason: str, *, uri_key: int | None) -> None:
    """Stop a destination for `reason`, unless it points elsewhere meanwhile; what is pending is held."""
    tx.add_write(
        sa.update(destinations)
        .where(destinations.c.key == key, destinations.c.uri_key == uri_key, destinations.c.held_reason == "")
        .values(held_reason=reason, tm_update=tx.now_us)
    )
    tx.committed.changed.add(key)


def set_health(tx: Transaction, key: int, health: Health, *, uri_key: int | None) -> None:
    """Remember the present run of failures, or that it is over."""
    values: dict[str, Any] = {**_CLEAN, "answering_since": tx.now_us}
    if health.failing_since_us is not None:
        values = {"failing_since": health.failing_since_us, "is_probed": health.is_probing}
        if health.failure is not None:
            values["failing_outcome"] = health.failure.outcome
            values["failing_status_code"] = health.failure.status_code
            values["failing_detail"] = health.failure.detail
    tx.add_write(
        sa.update(destinations).where(destinations.c.key == key, destinations.c.uri_key == uri_key).values(values)
    )


def hold_customer(tx: Transaction, customer_id: str, reason: str = FROZEN) -> None:
    """Stop every destination of a customer that is in use."""
    customer_key = tx.customer_key(customer_id)
    _change_all(tx, customer_key, from_reason="", to_reason=reason)


def release_customer(tx: Transaction, customer_id: str) -> None:
    """Undo `hold_customer`."""
    customer_key = tx.customer_key(customer_id)
    _change_all(tx, customer_key, from_reason=FROZEN, to_reason="")


def cancel_customer(tx: Transaction, customer_id: str) -> None:
    """Switch a customer's destinations off for good. What is pending is cancelled in steps (`cancelling`)."""
    customer_key = tx.customer_key(customer_id)
    keys = list(
        tx.reader.execute(sa.select(destinations.c.key).where(destinations.c.customer_key == customer_key)).scalars()
    )
    _replace_uris(tx, keys)
    tx.add_write(
        sa.update(destinations)
        .where(destinations.c.key.in_(keys))
        .values(uri_key=None, method="", held_reason=DELETED, tm_update=tx.now_us, **_CLEAN)
    )
    tx.committed.changed.update(keys)
    tx.committed.has_left_over = True


def secrets_changed(tx: Transaction, customer_id: str) -> None:
    """Make the engine sign with the customer's present secrets from this commit on."""
    tx.committed.changed.add(_key_of(tx, customer_id))


def webhook_of(connection: sa.Connection, customer_id: str) -> Destination:
    """The customer's own webhook. Raises NotFoundError."""
    row = connection.execute(
        SELECT.where(customers.c.id == customer_id, destinations.c.activeflow_id == "")
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no customer {customer_id}.", reason="CUSTOMER_NOT_FOUND")
    return destination_of(row)


def _key_of(tx: Transaction, customer_id: str) -> int:
    key = tx.reader.execute(
        sa.select(destinations.c.key).where(
            destinations.c.customer_key == tx.customer_key(customer_id), destinations.c.activeflow_id == ""
        )
    ).scalar()
    return add_destination(tx, customer_id) if key is None else key


def _send_at_once(tx: Transaction, key: int) -> None:
    """A few in this very commit; the rest is left to be done in steps."""
    if make_due(tx, key, 0, tx.now_us) is not None:
        tx.add_write(sa.update(destinations).where(destinations.c.key == key).values(due_mark=tx.now_us))
        tx.committed.has_left_over = True


def _is_frozen(tx: Transaction, customer_id: str) -> bool:
    statement = sa.select(customers.c.status).where(customers.c.id == customer_id)
    return tx.reader.execute(statement).scalar() == FROZEN


def _replace_uris(tx: Transaction, keys: Sequence[int]) -> None:
    """Note when the present uris went out of use."""
    present = sa.select(destinations.c.uri_key).where(destinations.c.key.in_(keys))
    tx.add_write(sa.update(uris).where(uris.c.key.in_(present)).values(tm_replaced=tx.now_us))


def _change_all(tx: Transaction, customer_key: int, *, from_reason: str, to_reason: str) -> None:
    found = tx.reader.execute(
        sa.select(destinations.c.key).where(
            destinations.c.customer_key == customer_key,
            destinations.c.held_reason == from_reason,
            destinations.c.uri_key.is_not(None),
        )
    )
    keys = found.scalars().all()
    changed = {"held_reason": to_reason, "tm_update": tx.now_us}
    tx.add_write(sa.update(destinations).where(destinations.c.key.in_(keys)).values(changed))
    tx.committed.changed.update(keys)
