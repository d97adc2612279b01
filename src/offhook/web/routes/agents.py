"""Agents: a customer's users."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get, post, put

from offhook.domain.accounts.agent import (
    RING_METHODS,
    AgentProfile,
    checked_addresses,
    checked_permission,
    checked_ring_method,
    checked_tags,
    checked_username,
    needed_for_password,
)
from offhook.domain.accounts.customer import MANAGERS, Permission
from offhook.domain.place import place_token, read_place
from offhook.domain.texts import checked_text
from offhook.store.queries.agents import get_agent, list_agents
from offhook.web.request import (
    AnyRequest,
    Listing,
    caller_in,
    checked_id,
    customer_for,
    customer_in,
    page_size_of,
    services_of,
)
from offhook.web.shapes.accounts import Agent, agent_shape


class NewAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`permission`: the sum of 16 CustomerAgent, 32 CustomerAdmin, 64 CustomerManager."""

    username: str
    password: str
    name: str = ""
    detail: str = ""
    ring_method: str = RING_METHODS[0]
    permission: int = int(Permission.CUSTOMER_AGENT)
    tag_ids: list[str] = []
    addresses: list[dict[str, Any]] = []


class AgentChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays as it is."""

    name: str | None = None
    detail: str | None = None
    ring_method: str | None = None


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At least eight characters."""

    password: str


@get("/v1.0/agents", tags=["agents"])
async def list_all(request: AnyRequest, page_size: int | None = None, page_token: str = "") -> Listing:
    """The agents, newest first."""
    customer_id = await customer_in(request, MANAGERS)
    before = read_place(page_token)
    listed = await services_of(request).store.read_for_api(
        lambda connection: list_agents(connection, customer_id, before=before, page_size=page_size_of(page_size))
    )
    return Listing([agent_shape(agent) for agent in listed.found], place_token(listed.place))


@post("/v1.0/agents", status_code=201, tags=["agents"])
async def create(request: AnyRequest, data: NewAgent) -> Agent:
    """Make an agent. Nobody can give a role that they do not have; a CustomerAdmin has Manager and Agent too."""
    caller = await caller_in(request)
    customer_id = await customer_for(request, caller, Permission.CUSTOMER_ADMIN)
    profile = AgentProfile(
        username=checked_username(data.username),
        name=checked_text("name", data.name),
        detail=checked_text("detail", data.detail),
        ring_method=checked_ring_method(data.ring_method),
        permission=checked_permission(caller, data.permission),
        tag_ids=checked_tags(data.tag_ids),
        addresses=checked_addresses(data.addresses),
    )
    return agent_shape(await services_of(request).agents.create(customer_id, profile, data.password))


@get("/v1.0/agents/{agent_id:str}", tags=["agents"])
async def show(request: AnyRequest, agent_id: str) -> Agent:
    """One agent."""
    customer_id = await customer_in(request, MANAGERS)
    wanted = checked_id(agent_id)
    found = await services_of(request).store.read_for_api(lambda connection: get_agent(connection, customer_id, wanted))
    return agent_shape(found)


@put("/v1.0/agents/{agent_id:str}", tags=["agents"])
async def change(request: AnyRequest, agent_id: str, data: AgentChange) -> Agent:
    """Change name, detail or ring method."""
    customer_id = await customer_in(request, Permission.CUSTOMER_ADMIN)
    values: dict[str, str] = {}
    if data.name is not None:
        values["name"] = checked_text("name", data.name)
    if data.detail is not None:
        values["detail"] = checked_text("detail", data.detail)
    if data.ring_method is not None:
        values["ring_method"] = checked_ring_method(data.ring_method)
    return agent_shape(await services_of(request).agents.change(customer_id, checked_id(agent_id), values))


@put("/v1.0/agents/{agent_id:str}/password", tags=["agents"])
async def change_password(request: AnyRequest, agent_id: str, data: NewPassword) -> Agent:
    """Change a password: one's own, or as CustomerAdmin anybody's. Tokens given out before end."""
    caller = await caller_in(request)
    wanted = checked_id(agent_id)
    customer_id = await customer_for(request, caller, needed_for_password(caller, wanted))
    changed = await services_of(request).agents.change_password(caller, customer_id, wanted, data.password)
    return agent_shape(changed)


@delete("/v1.0/agents/{agent_id:str}", status_code=200, tags=["agents"])
async def remove(request: AnyRequest, agent_id: str) -> Agent:
    """Delete an agent: its tokens end."""
    caller = await caller_in(request)
    customer_id = await customer_for(request, caller, Permission.CUSTOMER_ADMIN)
    return agent_shape(await services_of(request).agents.delete(caller, customer_id, checked_id(agent_id)))
