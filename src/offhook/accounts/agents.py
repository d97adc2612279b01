"""Agents: the users of a customer."""

from __future__ import annotations

from collections.abc import Mapping

from offhook.accounts.passwords import Passwords, checked_password, new_password
from offhook.domain.accounts.agent import Agent, AgentProfile, check_is_another, checked_permission
from offhook.domain.accounts.customer import Caller
from offhook.domain.errors import ConflictError, NotFoundError
from offhook.domain.ids import new_uuid
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import agents
from offhook.store.store import Store


class Agents:
    """Changes agents; each change takes effect with its commit, also for tokens that were used before."""

    def __init__(self, store: Store, passwords: Passwords) -> None:
        self._store = store
        self._passwords = passwords

    async def create(self, customer_id: str, profile: AgentProfile, password: str) -> Agent:
        """An agent. Raises InvalidError (password), ConflictError if the username is taken."""
        hashed = await self._passwords.hash(checked_password(password))
        agent_id = new_uuid()

        def change(tx: Transaction) -> Agent:
            check_username_is_free(tx, profile.username)
            agents.add_agent(tx, agent_id, customer_id, profile, hashed)
            return agents.get_agent(tx.reader, customer_id, agent_id)

        return await self._store.write(change)

    async def change(self, customer_id: str, agent_id: str, values: Mapping[str, str]) -> Agent:
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

    async def delete(self, caller: Caller, customer_id: str, agent_id: str) -> Agent:
        """Delete an agent; its tokens end. Raises NotFoundError, NotAllowedError."""
        check_is_another(caller, agent_id)

        def change(tx: Transaction) -> Agent:
            target = agents.get_agent(tx.reader, customer_id, agent_id)
            checked_permission(caller, target.profile.permission)
            agents.change_agent(tx, customer_id, agent_id, tm_delete=tx.now_us)
            return agents.get_agent(tx.reader, customer_id, agent_id, deleted=True)

        return await self._store.write(change)


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


def check_username_is_free(tx: Transaction, username: str) -> None:
    """Raises ConflictError (ALREADY_EXISTS) if an agent, of whatever customer, has this name."""
    if agents.is_username_taken(tx.reader, username):
        raise ConflictError("This username is taken. Choose another one.", reason="ALREADY_EXISTS", field="username")
