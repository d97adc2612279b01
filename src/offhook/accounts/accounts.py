"""Customers, agents and access keys: what changes them, and what has to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from offhook.accounts.authentication import Authenticator
from offhook.accounts.passwords import Passwords, checked_password, new_password
from offhook.accounts.tokens import access_key_hash, access_key_prefix, new_access_key
from offhook.domain.accounts.access_key import AccessKey, NewAccessKey, check_is_there, expiry_us
from offhook.domain.accounts.agent import Agent, AgentProfile, check_is_another, checked_permission, checked_username
from offhook.domain.accounts.customer import (
    Caller,
    Customer,
    Permission,
    check_is_anothers,
    checked_method,
    checked_profile,
    checked_text,
    checked_uri,
    chosen_webhook,
)
from offhook.domain.delivery.delivery import OFF
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.signature import new_secret
from offhook.domain.errors import ConflictError, NotFoundError
from offhook.domain.ids import new_uuid
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import access_keys, agents, customers, destinations
from offhook.store.store import Store

FIRST_USERNAME = "admin@localhost"
_DELETION_DELAY = timedelta(days=30)


class Credentials(msgspec.Struct, frozen=True):
    """What the first start shows once."""

    customer_id: str
    username: str
    password: str
    access_key: str
    webhook_secret: str


class Accounts:
    """Changes accounts; each change takes effect with its commit, also for credentials that were used before."""

    def __init__(self, store: Store, passwords: Passwords, authenticator: Authenticator, policy: NetworkPolicy) -> None:
        self._store = store
        self._passwords = passwords
        self._authenticator = authenticator
        self._policy = policy

    async def create_customer(
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
            _expect_free(tx, username)
            customers.add_customer(tx, customer_id, new_secret(), profile)
            agents.add_agent(tx, new_uuid(), customer_id, profile_of_agent, hashed)
            if uri:
                destinations.set_webhook(tx, customer_id, uri=uri, method=method)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def change_customer(
        self, customer_id: str, given: Mapping[str, str | None], uri: str | None, method: str | None
    ) -> Customer:
        """Change the given profile fields, and the webhook if its uri or method is given: what is None stays.

        Raises InvalidError naming the field, NotFoundError.
        """
        profile = checked_profile(given)

        def change(tx: Transaction) -> Customer:
            customers.expect_customer(tx, customer_id)
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
            _expect_status(tx, customer_id, "active")
            until = tx.now_us + _DELETION_DELAY // timedelta(microseconds=1)
            customers.change_customer(tx, customer_id, status="frozen", tm_deletion_scheduled=until)
            destinations.hold_customer(tx, customer_id)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def recover(self, customer_id: str) -> Customer:
        """Undo `freeze`. Raises NotFoundError and ConflictError."""

        def change(tx: Transaction) -> Customer:
            _expect_status(tx, customer_id, "frozen")
            customers.change_customer(tx, customer_id, status="active", tm_deletion_scheduled=None)
            destinations.release_customer(tx, customer_id)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def delete_customer(self, caller: Caller, customer_id: str) -> Customer:
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

    async def create_agent(self, customer_id: str, profile: AgentProfile, password: str) -> Agent:
        """An agent. Raises InvalidError (password), ConflictError if the username is taken."""
        hashed = await self._passwords.hash(checked_password(password))
        agent_id = new_uuid()

        def change(tx: Transaction) -> Agent:
            _expect_free(tx, profile.username)
            agents.add_agent(tx, agent_id, customer_id, profile, hashed)
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def change_agent(self, customer_id: str, agent_id: str, values: Mapping[str, str]) -> Agent:
        """Change name, detail or ring method, as far as given (and checked). Raises NotFoundError."""

        def change(tx: Transaction) -> Agent:
            agents.change_agent(tx, customer_id, agent_id, **values)
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def change_password(self, caller: Caller, customer_id: str, agent_id: str, password: str) -> Agent:
        """Change a password; older tokens end. Raises NotFoundError, NotAllowedError, InvalidError (password)."""
        target = await self._store.read_for_api(lambda connection: agents.get_agent(connection, customer_id, agent_id))
        checked_permission(caller, target.profile.permission)
        hashed = await self._passwords.hash(checked_password(password))

        def change(tx: Transaction) -> Agent:
            agents.set_password(tx, customer_id, agent_id, hashed)
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def delete_agent(self, caller: Caller, customer_id: str, agent_id: str) -> Agent:
        """Delete an agent; its tokens end. Raises NotFoundError, NotAllowedError."""
        check_is_another(caller, agent_id)

        def change(tx: Transaction) -> Agent:
            target = agents.get_agent(tx.reader, customer_id, agent_id)
            checked_permission(caller, target.profile.permission)
            agents.change_agent(tx, customer_id, agent_id, tm_delete=tx.now_us)
            return agents.get_agent(tx.reader, customer_id, agent_id, deleted=True)

        return await self._store.write(change)

    async def create_access_key(
        self, customer_id: str, name: str, detail: str, expire_s: int | None
    ) -> tuple[AccessKey, str]:
        """An access key, and its secret, for the only time; `expire_s` None: a year. Raises InvalidError (expire)."""
        key_id, token = new_uuid(), new_access_key()
        new = access_key_of(token, name, detail, expire_s)

        def change(tx: Transaction) -> AccessKey:
            access_keys.add_access_key(tx, key_id, customer_id, new)
            return access_keys.get_access_key(tx.reader, customer_id, key_id)

        made = await self._store.write(change)
        self._authenticator.expect(token)
        return made, token

    async def change_access_key(self, customer_id: str, key_id: str, values: Mapping[str, str]) -> AccessKey:
        """Change name and detail. Raises NotFoundError, ConflictError."""

        def change(tx: Transaction) -> AccessKey:
            _expect_key(tx, customer_id, key_id)
            access_keys.change_access_key(tx, customer_id, key_id, **values)
            return access_keys.get_access_key(tx.reader, customer_id, key_id)

        return await self._store.write(change)

    async def delete_access_key(self, customer_id: str, key_id: str) -> AccessKey:
        """Delete a key: it is refused from now on. Raises NotFoundError, ConflictError."""

        def change(tx: Transaction) -> AccessKey:
            _expect_key(tx, customer_id, key_id)
            access_keys.change_access_key(tx, customer_id, key_id, tm_delete=tx.now_us)
            return access_keys.get_access_key(tx.reader, customer_id, key_id, deleted=True)

        return await self._store.write(change)


async def owner_of_number(store: Store, number: str) -> str | None:
    """Whose calls those to a number are. Until customers have numbers, every number is the oldest active customer's."""
    return await store.read(customers.oldest_active_customer)


async def create_first_customer(store: Store, passwords: Passwords, keep: Callable[[Credentials], None]) -> Credentials:
    """The customer, agent and access key of a new database. Raises ConflictError if there is a customer already.

    `keep` is called before they count: whatever kills the process after that, somebody has them.
    """
    if await store.read(customers.count_customers):
        raise _not_the_first()
    credentials = Credentials(new_uuid(), FIRST_USERNAME, new_password(), new_access_key(), new_secret())
    hashed = await passwords.hash(credentials.password)

    def change(tx: Transaction) -> None:
        if customers.count_customers(tx.reader):
            raise _not_the_first()
        customers.add_customer(tx, credentials.customer_id, credentials.webhook_secret, {"name": "First customer"})
        _expect_free(tx, FIRST_USERNAME)
        admin = AgentProfile(username=FIRST_USERNAME, permission=int(Permission.EVERYTHING), name="Admin")
        agents.add_agent(tx, new_uuid(), credentials.customer_id, admin, hashed)
        key = access_key_of(credentials.access_key, "first", "made by offhook init", None)
        access_keys.add_access_key(tx, new_uuid(), credentials.customer_id, key)

    keep(credentials)
    await store.write(change)
    return credentials


async def reset_password(store: Store, passwords: Passwords, username: str) -> str:
    """A new password for an agent, by whoever has the database. Raises NotFoundError."""
    password = new_password()
    hashed = await passwords.hash(password)

    def change(tx: Transaction) -> None:
        login = agents.find_login(tx.reader, username=username)
        if login is None:
            raise NotFoundError(f"There is no agent named {username}.", reason="AGENT_NOT_FOUND", field="username")
        agents.set_password(tx, login.customer_id, login.agent_id, hashed)

    await store.write(change)
    return password


def access_key_of(token: str, name: str, detail: str, expire_s: int | None) -> NewAccessKey:
    """What is kept of a new access key with the secret `token`. Raises InvalidError (expire)."""
    return NewAccessKey(
        name=name,
        detail=detail,
        token_prefix=access_key_prefix(token),
        token_hash=access_key_hash(token),
        expire_us=expiry_us(expire_s, datetime.now(UTC)),
    )


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


def _not_the_first() -> ConflictError:
    return ConflictError(
        "There is a first customer already. `offhook agent reset-password --data DIR "
        f"{FIRST_USERNAME}` gives its agent a new password."
    )


def _expect_status(tx: Transaction, customer_id: str, status: str) -> None:
    if customers.get_customer(tx.reader, customer_id).status != status:
        raise ConflictError(f"The customer is not {status}.", field="status")


def _expect_free(tx: Transaction, username: str) -> None:
    if agents.is_username_taken(tx.reader, username):
        raise ConflictError("This username is taken. Choose another one.", reason="ALREADY_EXISTS", field="username")


def _expect_key(tx: Transaction, customer_id: str, key_id: str) -> None:
    check_is_there(access_keys.get_access_key(tx.reader, customer_id, key_id, deleted=True))
