"""Activeflows: executions of flows, beside a call or by themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get, post

from offhook.domain.accounts.customer import MANAGERS
from offhook.domain.catalogue.activeflow import Activeflow
from offhook.domain.inputs.activeflow import KIND
from offhook.flows.activeflow import RUNNING_OR_ENDED, ActiveflowState
from offhook.web.lists import list_of, one_of
from offhook.web.request import (
    AnyRequest,
    Listing,
    checked_choice,
    checked_id,
    checked_reference,
    customer_in,
    services_of,
)


class NewActiveflow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `flow_id` beats `actions`; `webhook_uri` is a further address for its events.

    With an `id` of its own a request is safe to repeat: the second is a 409.
    """

    id: str = ""
    flow_id: str = ""
    actions: list[Any] = []
    variables: dict[str, str] = {}
    webhook_uri: str = ""
    webhook_method: str = ""


@get("/v1.0/activeflows", tags=["activeflows"])
async def list_all(
    request: AnyRequest,
    page_size: int | None = None,
    page_token: str = "",
    status: str = "",
    reference_id: str = "",
) -> Listing:
    """The executions, newest first."""
    customer_id = await customer_in(request, MANAGERS)
    wanted_status = checked_choice("status", status, RUNNING_OR_ENDED)
    wanted_id = checked_reference("reference_id", reference_id) if reference_id else ""

    def takes(state: ActiveflowState) -> bool:
        shown = state.activeflow
        return shown.status == (wanted_status or shown.status) and shown.reference_id == (
            wanted_id or shown.reference_id
        )

    return await list_of(request, KIND, customer_id, page_size, page_token, lambda state: state.activeflow, takes=takes)


@post("/v1.0/activeflows", status_code=201, tags=["activeflows"])
async def create(request: AnyRequest, data: NewActiveflow) -> Activeflow:
    """Run a flow, or actions, without a call."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).flows.start(
        customer_id,
        activeflow_id=checked_reference("id", data.id),
        flow_id=checked_reference("flow_id", data.flow_id),
        actions=data.actions,
        variables=data.variables,
        webhook_uri=data.webhook_uri,
        webhook_method=data.webhook_method,
    )


@get("/v1.0/activeflows/{activeflow_id:str}", tags=["activeflows"])
async def show(request: AnyRequest, activeflow_id: str) -> Activeflow:
    """One execution."""
    customer_id = await customer_in(request, MANAGERS)
    state: ActiveflowState = await one_of(request, KIND, customer_id, activeflow_id)
    return state.activeflow


@post("/v1.0/activeflows/{activeflow_id:str}/stop", status_code=200, tags=["activeflows"])
async def stop(request: AnyRequest, activeflow_id: str) -> Activeflow:
    """End an execution, and hang up its call."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).flows.stop(customer_id, checked_id(activeflow_id))


@delete("/v1.0/activeflows/{activeflow_id:str}", status_code=200, tags=["activeflows"])
async def remove(request: AnyRequest, activeflow_id: str) -> Activeflow:
    """End an execution if it runs, with its call, and show it no more."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).flows.delete_activeflow(customer_id, checked_id(activeflow_id))
