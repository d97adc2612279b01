"""Customers, agents and access keys: what changes them, and what has to follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from offhook.accounts.authentication import Authenticator
from offhook.accounts.passwords import Passwords, checked_password, new_password
from offhook.accounts.tokens import access_key_hash, access_key_prefix, new_access_key
from offhook.domain.customer import AccessKey, Agent, Customer, Permission
from offhook.domain.errors import ConflictError, InvalidError, NotFoundError
from offhook.domain.ids import new_uuid
from offhook.domain.signature import new_secret
from offhook.domain.times import to_us
from offhook.store import access_keys, agents, customers, destinations
from offhook.store.store import Store
from offhook.store.transaction import Transaction

T = TypeVar("T")

FIRST_USERNAME = "admin@localhost"
SHORTEST_EXPIRE_S = 86_400
_YEAR_S = 365 * SHORTEST_EXPIRE_S
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_OLD_SECRET_LIFETIME = timedelta(hours=24)
_MAX_OLD_SECRETS = 5
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

    def __init__(self, store: Store, passwords: Passwords, authenticator: Authenticator) -> None:
        self._store = store
        self._passwords = passwords
        self._authenticator = authenticator

    async def create_customer(
        self, profile: dict[str, str], username: str, password: str, uri: str, method: str
    ) -> str:
        """A customer with its first agent; its id. Raises ConflictError if the username is taken."""
        hashed = await self._passwords.hash(checked_password(password))
        customer_id = new_uuid()

        def change(tx: Transaction) -> None:
            agents.expect_free(tx, username)
            customers.add_customer(tx, customer_id, new_secret(), profile)
            agents.add_agent(
                tx,
                new_uuid(),
                customer_id,
                {
                    "username": username,
                    "password_hash": hashed,
                    "permission": int(Permission.CUSTOMER_ADMIN | Permission.CUSTOMER_MANAGER),
                },
            )
            if uri:
                destinations.set_webhook(tx, customer_id, uri=uri, method=method)

        await self._store.write(change)
        return customer_id

    async def change_customer(
        self,
        customer_id: str,
        profile: dict[str, str],
        webhook: Callable[[tuple[str, str]], tuple[str, str]] | None,
    ) -> Customer:
        """Change the given profile fields, and the webhook if `webhook` is given.

        `webhook` makes the new uri and method of the present ones, and may refuse. Raises NotFoundError.
        """

        def change(tx: Transaction) -> Customer:
            customers.expect_customer(tx, customer_id)
            if webhook is not None:
                present = destinations.webhook_of(tx.reader, customer_id)
                uri, method = webhook((present.uri, present.method))
                destinations.set_webhook(tx, customer_id, uri=uri, method=method)
            customers.change_customer(tx, customer_id, **profile)
            return customers.get_customer(tx.reader, customer_id)

        return await self._store.write(change)

    async def rotate_secret(self, customer_id: str) -> str:
        """A new webhook secret; the old ones keep signing beside it, each for 24 hours at least."""
        secret = new_secret()

        def change(tx: Transaction) -> None:
            old = customers.live_secrets(tx.reader, customer_id, tx.now_us)[:_MAX_OLD_SECRETS]
            destinations.secrets_changed(tx, customer_id)
            customers.change_customer(
                tx,
                customer_id,
                webhook_secret=secret,
                old_webhook_secret=" ".join(old),
                old_webhook_secret_until=tx.now_us + _OLD_SECRET_LIFETIME // timedelta(microseconds=1),
            )

        await self._store.write(change)
        return secret

    async def freeze(self, customer_id: str) -> Customer:
        """Let a customer do nothing and hold its events. Raises NotFoundError and ConflictError."""

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

    async def delete_customer(self, customer_id: str) -> Customer:
        """Delete a customer: its credentials end, what is pending is cancelled. Raises NotFoundError."""

        def change(tx: Transaction) -> Customer:
            before = customers.get_customer(tx.reader, customer_id)
            customers.change_customer(tx, customer_id, status="deleted", tm_delete=tx.now_us)
            agents.delete_agents(tx, customer_id)
            destinations.cancel_customer(tx, customer_id)
            return msgspec.structs.replace(before, status="deleted", webhook_uri="", webhook_method="")

        return await self._store.write(change)

    async def create_agent(self, customer_id: str, values: dict[str, Any], password: str) -> Agent:
        """An agent. Raises ConflictError if the username is taken."""
        hashed = await self._passwords.hash(checked_password(password))
        agent_id = new_uuid()

        def change(tx: Transaction) -> Agent:
            agents.expect_free(tx, values["username"])
            agents.add_agent(tx, agent_id, customer_id, {**values, "password_hash": hashed})
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def change_agent(self, customer_id: str, agent_id: str, values: dict[str, Any]) -> Agent:
        """Change the given fields. Raises NotFoundError."""

        def change(tx: Transaction) -> Agent:
            agents.change_agent(tx, customer_id, agent_id, **values)
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def change_password(self, customer_id: str, agent_id: str, password: str) -> Agent:
        """Change a password; older tokens end. Raises NotFoundError."""
        hashed = await self._passwords.hash(checked_password(password))

        def change(tx: Transaction) -> Agent:
            agents.set_password(tx, customer_id, agent_id, hashed)
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def delete_agent(self, customer_id: str, agent_id: str) -> Agent:
        """Delete an agent; its tokens end. Raises NotFoundError."""

        def change(tx: Transaction) -> Agent:
            agents.change_agent(tx, customer_id, agent_id, tm_delete=tx.now_us)
            return agents.get_agent(tx.reader, customer_id, agent_id, deleted=True)

        return await self._store.write(change)

    async def create_access_key(self, customer_id: str, name: str, detail: str, expire_s: int | None) -> AccessKey:
        """An access key, with its secret for the only time; `expire_s` None: a year. Raises InvalidError (expire)."""
        key_id, token = new_uuid(), new_access_key()
        values = access_key_values(token, name, detail, expire_s)

        def change(tx: Transaction) -> AccessKey:
            access_keys.add_access_key(tx, key_id, customer_id, values)
            return access_keys.get_access_key(tx.reader, customer_id, key_id)

        made = await self._store.write(change)
        self._authenticator.expect(token)
        return msgspec.structs.replace(made, token=token)

    async def change_access_key(self, customer_id: str, key_id: str, values: dict[str, str]) -> AccessKey:
        """Change name and detail. Raises NotFoundError, ConflictError."""

        def change(tx: Transaction) -> AccessKey:
            access_keys.change_access_key(tx, customer_id, key_id, **values)
            return access_keys.get_access_key(tx.reader, customer_id, key_id)

        return await self._store.write(change)

    async def delete_access_key(self, customer_id: str, key_id: str) -> AccessKey:
        """Delete a key: it is refused from now on. Raises NotFoundError, ConflictError."""

        def change(tx: Transaction) -> AccessKey:
            access_keys.change_access_key(tx, customer_id, key_id, tm_delete=tx.now_us)
            return access_keys.get_access_key(tx.reader, customer_id, key_id, deleted=True)

        return await self._store.write(change)


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
        agent = {
            "username": FIRST_USERNAME,
            "password_hash": hashed,
            "name": "Admin",
            "permission": int(Permission.EVERYTHING),
        }
        agents.expect_free(tx, FIRST_USERNAME)
        agents.add_agent(tx, new_uuid(), credentials.customer_id, agent)
        values = access_key_values(credentials.access_key, "first", "made by offhook init", None)
        access_keys.add_access_key(tx, new_uuid(), credentials.customer_id, values)

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


def access_key_values(token: str, name: str, detail: str, expire_s: int | None) -> dict[str, Any]:
    """The columns of a new access key. Raises InvalidError (expire)."""
    lifetime_s = _YEAR_S if expire_s is None else expire_s
    if lifetime_s < SHORTEST_EXPIRE_S:
        raise InvalidError(
            f"expire is the key's lifetime in seconds, at least {SHORTEST_EXPIRE_S} (a day).", field="expire"
        )
    # A lifetime may be given that no date can hold: it ends with the calendar.
    end_s = min(datetime.now(UTC).timestamp() + lifetime_s, _LAST_MOMENT.timestamp())
    return {
        "name": name,
        "detail": detail,
        "token_prefix": access_key_prefix(token),
        "token_hash": access_key_hash(token),
        "tm_expire": to_us(datetime.fromtimestamp(end_s, UTC)),
    }


def _not_the_first() -> ConflictError:
    return ConflictError(
        "There is a first customer already. `offhook agent reset-password --data DIR "
        f"{FIRST_USERNAME}` gives its agent a new password."
    )


def _expect_status(tx: Transaction, customer_id: str, status: str) -> None:
    if customers.get_customer(tx.reader, customer_id).status != status:
        raise ConflictError(f"The customer is not {status}.", field="status")
