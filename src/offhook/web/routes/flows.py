"""Flows: what calls and programs run."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get, post, put

from offhook.domain.accounts.customer import MANAGERS, Permission
from offhook.domain.inputs.flow import KIND
from offhook.domain.texts import checked_text
from offhook.flows.flow import Flow, FlowState
from offhook.web.lists import list_of, one_of
from offhook.web.request import AnyRequest, Listing, checked_id, checked_reference, customer_in, services_of

ADMIN = Permission.CUSTOMER_ADMIN


class NewFlow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`actions` may be none: such a flow ends at once."""

    name: str = ""
    detail: str = ""
    actions: list[Any] = []
    on_complete_flow_id: str = ""


class FlowChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays as it is. What runs already is not changed by it."""

    name: str | None = None
    detail: str | None = None
    actions: list[Any] | None = None
    on_complete_flow_id: str | None = None


@get("/v1.0/flows", tags=["flows"])
async def list_all(request: AnyRequest, page_size: int | None = None, page_token: str = "") -> Listing:
    """The flows, newest first."""
    customer_id = await customer_in(request, MANAGERS)
    return await list_of(request, KIND, customer_id, page_size, page_token, lambda state: state.flow)


@post("/v1.0/flows", status_code=200, tags=["flows"])
async def create(request: AnyRequest, data: NewFlow) -> Flow:
    """Make a flow. It is read as a whole; `details` name the first fault of each action."""
    customer_id = await customer_in(request, ADMIN)
    return await services_of(request).flows.create(
        customer_id,
        name=checked_text("name", data.name),
        detail=checked_text("detail", data.detail),
        actions=data.actions,
        on_complete_flow_id=checked_reference("on_complete_flow_id", data.on_complete_flow_id),
    )


@get("/v1.0/flows/{flow_id:str}", tags=["flows"])
async def show(request: AnyRequest, flow_id: str) -> Flow:
    """One flow."""
    customer_id = await customer_in(request, MANAGERS)
    state: FlowState = await one_of(request, KIND, customer_id, flow_id)
    return state.flow


@put("/v1.0/flows/{flow_id:str}", tags=["flows"])
async def change(request: AnyRequest, flow_id: str, data: FlowChange) -> Flow:
    """Change the fields that are given."""
    customer_id = await customer_in(request, ADMIN)
    completing = data.on_complete_flow_id
    return await services_of(request).flows.change(
        customer_id,
        checked_id(flow_id),
        name=None if data.name is None else checked_text("name", data.name),
        detail=None if data.detail is None else checked_text("detail", data.detail),
        actions=data.actions,
        on_complete_flow_id=None if completing is None else checked_reference("on_complete_flow_id", completing),
    )


@delete("/v1.0/flows/{flow_id:str}", status_code=200, tags=["flows"])
async def remove(request: AnyRequest, flow_id: str) -> Flow:
    """Delete a flow that no number runs. Executions of it go on."""
    customer_id = await customer_in(request, ADMIN)
    return await services_of(request).flows.delete(customer_id, checked_id(flow_id))
