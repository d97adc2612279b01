"""The first customer of a new database, and the credentials that are shown once."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from offhook.accounts.access_keys import access_key_of
from offhook.accounts.agents import check_username_is_free
from offhook.accounts.passwords import Passwords, new_password
from offhook.accounts.tokens import new_access_key
from offhook.domain.accounts.agent import AgentProfile
from offhook.domain.accounts.customer import Permission
from offhook.domain.delivery.signature import new_secret
from offhook.domain.errors import ConflictError
from offhook.domain.ids import new_uuid
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import access_keys, agents, customers
from offhook.store.store import Store

FIRST_USERNAME = "admin@localhost"


class Credentials(msgspec.Struct, frozen=True):
    """What the first start shows once."""

    customer_id: str
    username: str
    password: str
    access_key: str
    webhook_secret: str


async def create_first_customer(store: Store, passwords: Passwords, keep: Callable[[Credentials], None]) -> Credentials:
    """The customer, agent and access key of a new database. Raises ConflictError if there is a customer already.

    `keep` is called before they count: whatever kills the process after that, somebody has them.
    """
    if await store.read(customers.count_customers):
        raise _not_the_first()
    credentials = Credentials(
        customer_id=new_uuid(),
        username=FIRST_USERNAME,
        password=new_password(),
        access_key=new_access_key(),
        webhook_secret=new_secret(),
    )
    hashed = await passwords.hash(credentials.password)

    def change(tx: Transaction) -> None:
        if customers.count_customers(tx.reader):
            raise _not_the_first()
        customers.add_customer(tx, credentials.customer_id, credentials.webhook_secret, {"name": "First customer"})
        check_username_is_free(tx, FIRST_USERNAME)
        admin = AgentProfile(username=FIRST_USERNAME, permission=int(Permission.EVERYTHING), name="Admin")
        agents.add_agent(tx, new_uuid(), credentials.customer_id, admin, hashed)
        key = access_key_of(credentials.access_key, "first", "made by offhook init", None)
        access_keys.add_access_key(tx, new_uuid(), credentials.customer_id, key)

    keep(credentials)
    await store.write(change)
    return credentials


def _not_the_first() -> ConflictError:
    return ConflictError(
        "There is a first customer already. `offhook agent reset-password --data DIR "
        f"{FIRST_USERNAME}` gives its agent a new password."
    )
