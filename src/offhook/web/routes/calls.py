"""Calls: looking at them, and hanging them up."""

from __future__ import annotations

from litestar import delete, get, post

from offhook.domain.accounts.customer import MANAGERS
from offhook.domain.catalogue.call import Call
from offhook.domain.inputs.call import KIND
from offhook.domain.telephony.call_filter import DIRECTIONS, STATUSES, CallFilter
from offhook.domain.telephony.call_state import CallState
from offhook.web.lists import list_of, one_of
from offhook.web.request import (
    AnyRequest,
    Listing,
    checked_choice,
    checked_id,
    checked_moment,
    checked_reference,
    customer_in,
    services_of,
)


@get("/v1.0/calls", tags=["calls"])
async def list_all(
    request: AnyRequest,
    page_size: int | None = None,
    page_token: str = "",
    status: str = "",
    direction: str = "",
    number: str = "",
    activeflow_id: str = "",
    groupcall_id: str = "",
    since: str = "",
    until: str = "",
) -> Listing:
    """The calls, newest first. `number` is on either side; `since` and `until` are about when they began."""
    customer_id = await customer_in(request, MANAGERS)
    wanted = CallFilter(
        status=checked_choice("status", status, STATUSES),
        direction=checked_choice("direction", direction, DIRECTIONS),
        number=number,
        activeflow_id=checked_reference("activeflow_id", activeflow_id) if activeflow_id else "",
        groupcall_id=checked_reference("groupcall_id", groupcall_id) if groupcall_id else "",
    )
    return await list_of(
        request,
        KIND,
        customer_id,
        page_size,
        page_token,
        lambda state: state.call,
        takes=lambda state: wanted.takes(state.call),
        since=checked_moment("since", since),
        until=checked_moment("until", until),
    )


@get("/v1.0/calls/{call_id:str}", tags=["calls"])
async def show(request: AnyRequest, call_id: str) -> Call:
    """One call."""
    customer_id = await customer_in(request, MANAGERS)
    state: CallState = await one_of(request, KIND, customer_id, call_id)
    return state.call


@delete("/v1.0/calls/{call_id:str}", status_code=200, tags=["calls"])
async def remove(request: AnyRequest, call_id: str) -> Call:
    """Hang a call up if it is not over, and show it no more."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).calls.delete(customer_id, checked_id(call_id))


@post("/v1.0/calls/{call_id:str}/hangup", status_code=200, tags=["calls"])
async def hang_up(request: AnyRequest, call_id: str) -> Call:
    """Hang a call up. It is `terminating` until the switch has ended it."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).calls.hang_up(customer_id, checked_id(call_id))
