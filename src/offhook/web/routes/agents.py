"""Agents: a customer's users."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get, post, put

from offhook.domain.catalogue.fields import Address
from offhook.domain.customer import MANAGERS, Agent, Permission, checked_permission, checked_text
from offhook.domain.errors import InvalidError, NotAllowedError
from offhook.domain.ids import is_uuid
from offhook.domain.place import place_token, read_place
from offhook.store.agents import get_agent, list_agents
from offhook.web.asking import (
    AnyRequest,
    Listing,
    caller_in,
    checked_id,
    customer_for,
    customer_in,
    page_size_of,
    services_of,
)

_RING_METHODS = ("ringall", "linear")
_MAX_ITEMS = 100


class NewAgent(msgspec.Struct, frozen=True):
    """`permission`: the sum of 16 CustomerAgent, 32 CustomerAdmin, 64 CustomerManager."""

    username: str
    password: str
    name: str = ""
    detail: str = ""
    ring_method: str = "ringall"
    permission: int = int(Permission.CUSTOMER_AGENT)
    tag_ids: list[str] = []
    addresses: list[dict[str, Any]] = []


class AgentChange(msgspec.Struct, frozen=True):
    """What is absent stays as it is."""

    name: str | None = None
    detail: str | None = None
    ring_method: str | None = None


class NewPassword(msgspec.Struct, frozen=True):
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
    return Listing(listed.found, place_token(listed.place))


@post("/v1.0/agents", status_code=201, tags=["agents"])
async def create(request: AnyRequest, data: NewAgent) -> Agent:
    """Make an agent. Nobody can give a role that they do not have; a CustomerAdmin has Manager and Agent too."""
    caller = await caller_in(request)
    customer_id = await customer_for(request, caller, Permission.CUSTOMER_ADMIN)
    values = {
        "username": _checked_username(data.username),
        "name": checked_text("name", data.name),
        "detail": checked_text("detail", data.detail),
        "ring_method": _checked_ring_method(data.ring_method),
        "permission": checked_permission(caller, data.permission),
        "tag_ids": _checked_tags(data.tag_ids),
        "addresses": _checked_addresses(data.addresses),
    }
    return await services_of(request).accounts.create_agent(customer_id, values, data.password)


@get("/v1.0/agents/{agent_id:str}", tags=["agents"])
async def show(request: AnyRequest, agent_id: str) -> Agent:
    """One agent."""
    customer_id = await customer_in(request, MANAGERS)
    wanted = checked_id(agent_id)
    return await services_of(request).store.read_for_api(lambda connection: get_agent(connection, customer_id, wanted))


@put("/v1.0/agents/{agent_id:str}", tags=["agents"])
async def change(request: AnyRequest, agent_id: str, data: AgentChange) -> Agent:
    """Change name, detail or ring method."""
    customer_id = await customer_in(request, Permission.CUSTOMER_ADMIN)
    values: dict[str, Any] = {}
    if data.name is not None:
        values["name"] = checked_text("name", data.name)
    if data.detail is not None:
        values["detail"] = checked_text("detail", data.detail)
    if data.ring_method is not None:
        values["ring_method"] = _checked_ring_method(data.ring_method)
    return await services_of(request).accounts.change_agent(customer_id, checked_id(agent_id), values)


@put("/v1.0/agents/{agent_id:str}/password", tags=["agents"])
async def change_password(request: AnyRequest, agent_id: str, data: NewPassword) -> Agent:
    """Change a password: one's own, or as CustomerAdmin anybody's. Tokens given out before end."""
    caller = await caller_in(request)
    wanted = checked_id(agent_id)
    needed = MANAGERS | Permission.CUSTOMER_AGENT if wanted == caller.agent_id else Permission.CUSTOMER_ADMIN
    customer_id = await customer_for(request, caller, needed)
    services = services_of(request)
    target = await services.store.read_for_api(lambda connection: get_agent(connection, customer_id, wanted))
    checked_permission(caller, target.permission)
    return await services.accounts.change_password(customer_id, wanted, data.password)


@delete("/v1.0/agents/{agent_id:str}", status_code=200, tags=["agents"])
async def remove(request: AnyRequest, agent_id: str) -> Agent:
    """Delete an agent: its tokens end."""
    caller = await caller_in(request)
    customer_id = await customer_for(request, caller, Permission.CUSTOMER_ADMIN)
    wanted = checked_id(agent_id)
    if wanted == caller.agent_id:
        raise NotAllowedError("You cannot delete yourself. Let another agent do it.", field="id")
    services = services_of(request)
    target = await services.store.read_for_api(lambda connection: get_agent(connection, customer_id, wanted))
    checked_permission(caller, target.permission)
    return await services.accounts.delete_agent(customer_id, wanted)


def _checked_username(username: str) -> str:
    if not username.strip():
        raise InvalidError("username is empty.", field="username")
    return checked_text("username", username)


def _checked_ring_method(ring_method: str) -> str:
    if ring_method not in _RING_METHODS:
        raise InvalidError(f"ring_method is one of {', '.join(_RING_METHODS)}.", field="ring_method")
    return ring_method


def _checked_tags(tag_ids: list[str]) -> list[str]:
    if len(tag_ids) > _MAX_ITEMS or not all(is_uuid(tag) for tag in tag_ids):
        raise InvalidError(f"tag_ids is a list of at most {_MAX_ITEMS} UUIDs.", field="tag_ids")
    return tag_ids


def _checked_addresses(addresses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(addresses) > _MAX_ITEMS:
        raise InvalidError(f"addresses is a list of at most {_MAX_ITEMS}.", field="addresses")
    checked = []
    for index, address in enumerate(addresses):
        whole = {"type": "", "target": "", "target_name": "", "name": "", "detail": "", **address}
        try:
            made = msgspec.convert(whole, Address)
        except msgspec.ValidationError as error:
            raise InvalidError(f"addresses[{index}]: {error}", field="addresses", index=index) from None
        checked.append(msgspec.to_builtins(made))
    return checked
