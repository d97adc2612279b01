"""Customers: what changes them and their webhooks, and what has to follow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from offhook.accounts.agents import check_username_is_free
from offhook.accounts.passwords import Passwords, checked_password
from offhook.domain.accounts.agent import AgentProfile, checked_username
from offhook.domain.accounts.customer import (
    Caller,
    Customer,
    Permission,
    check_is_anothers,
    checked_method,
    checked_profile,
    checked_uri,
    chosen_webhook,
)
from offhook.domain.delivery.delivery import OFF
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.signature import new_secret
from offhook.domain.errors import ConflictError
from offhook.domain.ids import new_uuid
from offhook.domain.texts import checked_text
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import agents, customers, destinations
from offhook.store.store import Store

_DELETION_DELAY = timedelta(days=30)


class Customers:
    """Changes customers; each change takes effect with its commit, also for credentials that were used before."""

    def __init__(self, store: Store, passwords: Passwords, policy: NetworkPolicy) -> None:
        self._store = store
        self._passwords = passwords
        self._policy = policy

    async def create(
        self, given: Mapping[str, str | None], username: str, password: str, uri: str, method: str
    ) -> Customer:
        """A customer with its first agent, of the profile fields that are given.

        Raises InvalidError naming the field, ConflictError if the username is taken.
        """
        profile_of_agent = AgentProfile(
            username=checked_username(checked_text("username", username)),
            permission=int(Permission.CUSTOMER_ADMIN | Permission.CUSTOMER_MANAGER),
        )
        uri = checked_uri(uri, self._policy)
        method = checked_method(method, uri)
        profile = checked_profile(given)
        hashed = await self._passwords.hash(checked_password(password))
        customer_id = new_uuid()

        def change(tx: Transaction) -> Customer:
            check_username_is_free(tx, username)
            customers.add_customer(tx, customer_id, new_secret(), profile)
            agents.add_agent(tx, new_uuid(), customer_id, profile_of_agent, hashed)
            if uri:
                destinations.set_webhook(tx, customer_id, uri=uri, method=method)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def change(
        self, customer_id: str, given: Mapping[str, str | None], uri: str | None, method: str | None
    ) -> Customer:
        """Change the given profile fields, and the webhook if its uri or method is given: what is None stays.

        Raises InvalidError naming the field, NotFoundError.
        """
        profile = checked_profile(given)

        def change(tx: Transaction) -> Customer:
            customers.key_of_customer(tx, customer_id)
            if uri is not None or method is not None:
                before = destinations.webhook_of(tx.reader, customer_id)
                new_uri, new_method = chosen_webhook((before.uri, before.method), uri, method, self._policy)
                destinations.set_webhook(tx, customer_id, uri=new_uri, method=new_method)
            customers.change_customer(tx, customer_id, **profile)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def enable_webhook(self, customer_id: str) -> Customer:
        """Use a disabled webhook again; held events are sent. Raises NotFoundError."""

        def change(tx: Transaction) -> Customer:
            destinations.enable_webhook(tx, customer_id)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def rotate_secret(self, customer_id: str) -> str:
        """A new webhook secret; the old ones keep signing beside it, each for 24 hours at least."""
        secret = new_secret()

        def change(tx: Transaction) -> None:
            before = customers.get_secrets(tx.reader, customer_id)
            customers.set_secrets(tx, customer_id, before.rotated(secret, tx.now_us))

        await self._store.write(change)
        return secret

    async def freeze(self, caller: Caller, customer_id: str) -> Customer:
        """Let a customer do nothing and hold its events; in 30 days it is deleted (see `Deletions`).

        Raises NotAllowedError, NotFoundError, ConflictError.
        """
        check_is_anothers(caller, customer_id)

        def change(tx: Transaction) -> Customer:
            _check_status(tx, customer_id, "active")
            until = tx.now_us + _DELETION_DELAY // timedelta(microseconds=1)
            customers.change_customer(tx, customer_id, status="frozen", tm_deletion_scheduled=until)
            destinations.hold_customer(tx, customer_id)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def recover(self, customer_id: str) -> Customer:
        """Undo `freeze`. Raises NotFoundError and ConflictError."""

        def change(tx: Transaction) -> Customer:
            _check_status(tx, customer_id, "frozen")
            customers.change_customer(tx, customer_id, status="active", tm_deletion_scheduled=None)
            destinations.release_customer(tx, customer_id)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def delete(self, caller: Caller, customer_id: str) -> Customer:
        """Delete a customer: its credentials end, what is pending is cancelled.

        Raises NotAllowedError, NotFoundError.
        """
        check_is_anothers(caller, customer_id)

        return await self._store.write(lambda tx: _delete(tx, customer_id))

    async def delete_overdue(self) -> list[str]:
        """Delete the customers whose deletion a freeze announced, and whose day has come; their ids."""
        now_us = self._store.clock.now_us()
        found = await self._store.read(lambda connection: customers.overdue_customers(connection, now_us))

        def change(tx: Transaction) -> list[str]:
            # Again, as one may have been recovered in the meantime.
            due = set(customers.overdue_customers(tx.reader, now_us)) & set(found)
            return [_delete(tx, customer_id).id for customer_id in sorted(due)]

        return await self._store.write(change) if found else []


def _delete(tx: Transaction, customer_id: str) -> Customer:
    """What it is afterwards."""
    before = customers.get_customer(tx.reader, customer_id)
    customers.change_customer(tx, customer_id, status="deleted", tm_delete=tx.now_us)
    agents.delete_agents(tx, customer_id)
    destinations.cancel_customer(tx, customer_id)
    return msgspec.structs.replace(
        before,
        status="deleted",
        webhook_uri="",
        webhook_method="",
        webhook_held_reason=OFF,
        updated_us=tx.now_us,
        deleted_us=tx.now_us,
    )


def _check_status(tx: Transaction, customer_id: str, status: str) -> None:
    if customers.get_customer(tx.reader, customer_id).status != status:
        raise ConflictError(f"The customer is not {status}.", field="status")
