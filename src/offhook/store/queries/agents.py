"""Agents: the users of a customer."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.accounts.agent import Agent, AgentProfile
from offhook.domain.catalogue.fields import Address
from offhook.domain.errors import NotFoundError
from offhook.domain.place import Place
from offhook.store.commit.transaction import Transaction
from offhook.store.database.paging import Listed, page_before
from offhook.store.schema import agents, customers


class Login(msgspec.Struct, frozen=True):
    """What a log in, or a token, is checked against."""

    agent_id: str
    customer_id: str
    permission: int
    password_hash: str
    token_version: int
    customer_status: str


def is_username_taken(connection: sa.Connection, username: str) -> bool:
    """Whether an agent, of whatever customer, has this name."""
    statement = sa.select(agents.c.key).where(agents.c.username == username, agents.c.tm_delete.is_(None))
    return connection.execute(statement).first() is not None


def add_agent(tx: Transaction, agent_id: str, customer_id: str, profile: AgentProfile, password_hash: str) -> None:
    """Make an agent, whose username nobody has."""
    tx.add_write(
        sa.insert(agents).values(
            key=tx.next_key("agents"),
            id=agent_id,
            customer_key=tx.customer_key(customer_id),
            password_hash=password_hash,
            tm_create=tx.now_us,
            **msgspec.to_builtins(profile),
        )
    )
    tx.committed.has_changed_accounts = True


def change_agent(tx: Transaction, customer_id: str, agent_id: str, **values: Any) -> None:
    """Change columns of an agent that is there. Raises NotFoundError."""
    key = tx.reader.execute(
        sa.select(agents.c.key).where(
            agents.c.id == agent_id, agents.c.customer_key == tx.customer_key(customer_id), agents.c.tm_delete.is_(None)
        )
    ).scalar()
    if key is None:
        raise _not_found(agent_id)
    tx.add_write(sa.update(agents).where(agents.c.key == key).values(tm_update=tx.now_us, **values))
    tx.committed.has_changed_accounts = True


def set_password(tx: Transaction, customer_id: str, agent_id: str, password_hash: str) -> None:
    """Change a password; tokens given out before are refused from now on. Raises NotFoundError."""
    change_agent(tx, customer_id, agent_id, password_hash=password_hash, token_version=agents.c.token_version + 1)


def delete_agents(tx: Transaction, customer_id: str) -> None:
    """Delete all of a customer's agents: their usernames may be taken again."""
    tx.add_write(
        sa.update(agents)
        .where(agents.c.customer_key == tx.customer_key(customer_id), agents.c.tm_delete.is_(None))
        .values(tm_delete=tx.now_us, tm_update=tx.now_us)
    )
    tx.committed.has_changed_accounts = True


def get_agent(connection: sa.Connection, customer_id: str, agent_id: str, *, deleted: bool = False) -> Agent:
    """One agent. Raises NotFoundError."""
    statement = _select.where(agents.c.id == agent_id, customers.c.id == customer_id)
    row = connection.execute(statement if deleted else statement.where(agents.c.tm_delete.is_(None))).one_or_none()
    if row is None:
        raise _not_found(agent_id)
    return _agent(row)


def list_agents(connection: sa.Connection, customer_id: str, *, before: Place | None, page_size: int) -> Listed[Agent]:
    """A customer's agents, newest first."""
    statement = _select.where(customers.c.id == customer_id, agents.c.tm_delete.is_(None))
    return page_before(connection, statement, agents, before, page_size, _agent)


def find_login(connection: sa.Connection, *, username: str = "", agent_id: str = "") -> Login | None:
    """An agent by name or id, with what it is checked against."""
    by = agents.c.username == username if username else agents.c.id == agent_id
    row = connection.execute(_select.where(by, agents.c.tm_delete.is_(None), customers.c.tm_delete.is_(None))).first()
    if row is None:
        return None
    return Login(
        agent_id=row.id,
        customer_id=row.customer_id,
        permission=row.permission,
        password_hash=row.password_hash,
        token_version=row.token_version,
        customer_status=row.customer_status,
    )


_select: sa.Select[Any] = sa.select(
    agents, customers.c.id.label("customer_id"), customers.c.status.label("customer_status")
).select_from(agents.join(customers, customers.c.key == agents.c.customer_key))


def _not_found(agent_id: str) -> NotFoundError:
    return NotFoundError(f"There is no agent {agent_id}.", reason="AGENT_NOT_FOUND", field="id")


def _agent(row: sa.Row[Any]) -> Agent:
    return Agent(
        id=row.id,
        customer_id=row.customer_id,
        profile=AgentProfile(
            username=row.username,
            permission=row.permission,
            name=row.name,
            detail=row.detail,
            ring_method=row.ring_method,
            tag_ids=row.tag_ids,
            addresses=msgspec.convert(row.addresses, list[Address]),
        ),
        status=row.status,
        created_us=row.tm_create,
        updated_us=row.tm_update,
        deleted_us=row.tm_delete,
    )
