"""Calls: looking at them, and hanging them up."""

from __future__ import annotations

from litestar import get, post

from offhook.domain.accounts.customer import MANAGERS
from offhook.domain.catalogue.call import Call
from offhook.domain.inputs.call import KIND
from offhook.domain.place import place_token, read_place
from offhook.domain.telephony.call_state import CallState
from offhook.web.request import AnyRequest, Listing, checked_id, customer_in, page_size_of, services_of


@get("/v1.0/calls", tags=["calls"])
async def list_all(request: AnyRequest, page_size: int | None = None, page_token: str = "") -> Listing:
    """The calls, newest first."""
    customer_id = await customer_in(request, MANAGERS)
    before = read_place(page_token)
    store = services_of(request).store
    listed = await store.read_for_api(
        lambda connection: store.tables.page(
            connection, KIND, customer_id, before=before, page_size=page_size_of(page_size)
        )
    )
    return Listing([state.call for state in listed.found], place_token(listed.place))


@get("/v1.0/calls/{call_id:str}", tags=["calls"])
async def show(request: AnyRequest, call_id: str) -> Call:
    """One call."""
    customer_id = await customer_in(request, MANAGERS)
    wanted = checked_id(call_id)
    store = services_of(request).store
    state: CallState = await store.read_for_api(
        lambda connection: store.tables.get(connection, KIND, customer_id, wanted)
    )
    return state.call


@post("/v1.0/calls/{call_id:str}/hangup", status_code=200, tags=["calls"])
async def hang_up(request: AnyRequest, call_id: str) -> Call:
    """Hang a call up. It is `terminating` until the switch has ended it."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).calls.hang_up(customer_id, checked_id(call_id))
