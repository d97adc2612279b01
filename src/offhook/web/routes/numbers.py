"""Numbers: what callers dial. An operator gives them out; a customer says what they run."""

from __future__ import annotations

import msgspec
from litestar import delete, get, post, put

from offhook.domain.accounts.customer import MANAGERS, Permission
from offhook.domain.inputs.number import KIND
from offhook.domain.telephony.number import Number, NumberState, digits_of
from offhook.domain.texts import checked_text
from offhook.web.lists import list_of, one_of
from offhook.web.request import (
    AnyRequest,
    Listing,
    checked_id,
    checked_reference,
    customer_for,
    customer_in,
    operator_in,
    services_of,
)

ADMIN = Permission.CUSTOMER_ADMIN


class NewNumber(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """2 to 15 digits, with or without `+`; separators are dropped. `type` is taken and has no effect."""

    number: str
    type: str = ""
    name: str = ""
    detail: str = ""
    call_flow_id: str = ""
    message_flow_id: str = ""


class NumberChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays as it is; "" is no flow."""

    name: str | None = None
    detail: str | None = None
    call_flow_id: str | None = None
    message_flow_id: str | None = None


class NumberFlows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays as it is; "" is no flow."""

    call_flow_id: str | None = None
    message_flow_id: str | None = None


@get("/v1.0/numbers", tags=["numbers"])
async def list_all(
    request: AnyRequest, page_size: int | None = None, page_token: str = "", number: str = ""
) -> Listing:
    """The numbers, newest first; with `number` only that one."""
    customer_id = await customer_in(request, MANAGERS)

    def takes(state: NumberState) -> bool:
        return not number or digits_of(state.number.number) == digits_of(number)

    return await list_of(request, KIND, customer_id, page_size, page_token, lambda state: state.number, takes=takes)


@post("/v1.0/numbers", status_code=200, tags=["numbers"])
async def create(request: AnyRequest, data: NewNumber) -> Number:
    """Give a customer a number that nobody has. For an operator; `?customer_id=` names another customer."""
    customer_id = await customer_for(request, await operator_in(request), MANAGERS)
    return await services_of(request).numbers.create(
        customer_id,
        number=data.number,
        name=checked_text("name", data.name),
        detail=checked_text("detail", data.detail),
        call_flow_id=checked_reference("call_flow_id", data.call_flow_id),
        message_flow_id=checked_reference("message_flow_id", data.message_flow_id),
    )


@get("/v1.0/numbers/{number_id:str}", tags=["numbers"])
async def show(request: AnyRequest, number_id: str) -> Number:
    """One number."""
    customer_id = await customer_in(request, MANAGERS)
    state: NumberState = await one_of(request, KIND, customer_id, number_id)
    return state.number


@put("/v1.0/numbers/{number_id:str}", tags=["numbers"])
async def change(request: AnyRequest, number_id: str, data: NumberChange) -> Number:
    """Change the fields that are given."""
    customer_id = await customer_in(request, ADMIN)
    return await services_of(request).numbers.change(
        customer_id,
        checked_id(number_id),
        name=None if data.name is None else checked_text("name", data.name),
        detail=None if data.detail is None else checked_text("detail", data.detail),
        call_flow_id=_reference("call_flow_id", data.call_flow_id),
        message_flow_id=_reference("message_flow_id", data.message_flow_id),
    )


@put("/v1.0/numbers/{number_id:str}/flow_ids", tags=["numbers"])
async def change_flows(request: AnyRequest, number_id: str, data: NumberFlows) -> Number:
    """Change what it runs."""
    customer_id = await customer_in(request, ADMIN)
    return await services_of(request).numbers.change(
        customer_id,
        checked_id(number_id),
        call_flow_id=_reference("call_flow_id", data.call_flow_id),
        message_flow_id=_reference("message_flow_id", data.message_flow_id),
    )


@delete("/v1.0/numbers/{number_id:str}", status_code=200, tags=["numbers"])
async def remove(request: AnyRequest, number_id: str) -> Number:
    """Take a number away; then it may be given to somebody else. For an operator."""
    customer_id = await customer_for(request, await operator_in(request), MANAGERS)
    return await services_of(request).numbers.delete(customer_id, checked_id(number_id))


def _reference(field: str, value: str | None) -> str | None:
    return None if value is None else checked_reference(field, value)
