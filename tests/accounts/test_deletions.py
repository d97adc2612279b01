"""What a freeze announces comes true, and not before, and not after a recovery."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from offhook.accounts.access_keys import AccessKeys
from offhook.accounts.authentication import Authenticator
from offhook.accounts.customers import Customers
from offhook.accounts.deletions import Deletions
from offhook.accounts.passwords import Passwords
from offhook.accounts.tokens import load_login_tokens
from offhook.domain.accounts.customer import Caller
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.errors import NotFoundError, UnauthenticatedError
from offhook.store.queries import customers
from offhook.store.store import Store
from tests.store.conftest import customer, database_url, new_customer, store

__all__ = ["customer", "database_url", "store"]
MONTH_US = timedelta(days=30) // timedelta(microseconds=1)
OPERATOR = Caller("operator", "operator", 1)


async def test_a_frozen_customer_is_deleted_on_the_day_that_was_announced(store: Store, customer: str) -> None:
    passwords = Passwords()
    authenticator = Authenticator(store, await load_login_tokens(store, timedelta(days=1)), passwords)
    accounts = Customers(store, passwords, NetworkPolicy())
    _, token = await AccessKeys(store, authenticator).create(customer, "one", "", None)
    recovered, waiting = await new_customer(store), await new_customer(store)
    for frozen in (customer, recovered, waiting):
        shown = await accounts.freeze(OPERATOR, frozen)
        assert shown.deletion_scheduled_us is not None
        assert abs(shown.deletion_scheduled_us - store.clock.now_us() - MONTH_US) < 60_000_000
    for due in (customer, recovered):
        await store.write(
            partial(customers.change_customer, customer_id=due, tm_deletion_scheduled=store.clock.now_us())
        )
    assert (await accounts.recover(recovered)).deletion_scheduled_us is None
    assert await accounts.delete_overdue() == [customer]
    assert await accounts.delete_overdue() == []
    with pytest.raises(NotFoundError):
        await store.read(lambda connection: customers.get_customer(connection, customer))
    with pytest.raises(UnauthenticatedError):
        await authenticator.caller_of(token, "192.0.2.1")
    for alive in (recovered, waiting):
        await store.read(partial(customers.get_customer, customer_id=alive))


async def test_a_day_that_came_while_nothing_ran_is_made_up_for_at_the_start(store: Store, customer: str) -> None:
    passwords = Passwords()
    accounts = Customers(store, passwords, NetworkPolicy())
    await accounts.freeze(OPERATOR, customer)
    await store.write(lambda tx: customers.change_customer(tx, customer, tm_deletion_scheduled=1))
    gone = asyncio.Event()
    store.subscribe(lambda committed: gone.set() if committed.has_changed_accounts else None)
    running = asyncio.ensure_future(Deletions(accounts).run())
    await asyncio.wait_for(gone.wait(), 10)
    running.cancel()
    with pytest.raises(NotFoundError):
        await store.read(lambda connection: customers.get_customer(connection, customer))
