"""What every typed route asks of a request: services, caller, customer, ids, page sizes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request

from offhook.domain.accounts.customer import Caller, Permission
from offhook.domain.errors import InvalidError, NotAllowedError
from offhook.domain.ids import NIL_UUID, is_uuid
from offhook.web.callers import acting_for, caller_of
from offhook.web.http.exchange import Exchange
from offhook.web.services import Services

AnyRequest = Request[Any, Any, Any]
_MAX_PAGE = 100


class Listing(msgspec.Struct, frozen=True):
    """A page of a list, newest first; `next_page_token` is empty only for an empty page."""

    result: list[Any]
    next_page_token: str


def services_of(request: AnyRequest) -> Services:
    """The services that the application was made with."""
    services: Services = request.app.state.services
    return services


def exchange_of(request: AnyRequest) -> Exchange:
    """The exchange that the front made for this request."""
    exchange: Exchange = request.scope["state"]["exchange"]
    return exchange


async def caller_in(request: AnyRequest) -> Caller:
    """Who asks, within the customer's rate. Raises UnauthenticatedError, NotAllowedError, OverLimitError."""
    services = services_of(request)
    exchange = exchange_of(request)
    caller = await caller_of(exchange, services)
    services.customer_buckets.take(caller.customer_id)
    request.scope["state"]["customer_id"] = caller.customer_id
    return caller


async def customer_in(request: AnyRequest, needed: Permission) -> str:
    """Whose things the request is about. Raises as `caller_in` and `customer_for` do."""
    return await customer_for(request, await caller_in(request), needed)


async def customer_for(request: AnyRequest, caller: Caller, needed: Permission) -> str:
    """Whose things the request is about, for a caller who is known already: asking again would charge it twice.

    Raises as `acting_for` does.
    """
    return await acting_for(exchange_of(request), caller, services_of(request).store, needed)


async def operator_in(request: AnyRequest) -> Caller:
    """The caller, who must be a ProjectSuperAdmin. Raises NotAllowedError."""
    caller = await caller_in(request)
    if not caller.is_operator:
        raise NotAllowedError("This needs the role ProjectSuperAdmin.", field="permission")
    return caller


def checked_id(value: str) -> str:
    """An id out of the path. Raises InvalidError (INVALID_ID)."""
    if not is_uuid(value):
        raise InvalidError("The id in the path is not a UUID.", reason="INVALID_ID", field="id")
    return value.lower()


def checked_reference(field: str, value: str) -> str:
    """An id in a body or a query; nil for none. Raises InvalidError."""
    if not value:
        return NIL_UUID
    if not is_uuid(value):
        raise InvalidError(f"{field} is not a UUID.", field=field)
    return value.lower()


def checked_choice(field: str, value: str, choices: Sequence[str]) -> str:
    """A filter's value, "" for none. Raises InvalidError (INVALID_REQUEST_PARAMETER)."""
    if value and value not in choices:
        raise InvalidError(f"{field} is one of {', '.join(choices)}.", reason="INVALID_REQUEST_PARAMETER", field=field)
    return value


def checked_moment(field: str, value: str) -> datetime | None:
    """A filter's point in time, None for none. Raises InvalidError (INVALID_REQUEST_PARAMETER)."""
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidError(
            f"{field} is a time with its zone, such as 2026-05-02T09:00:00Z.",
            reason="INVALID_REQUEST_PARAMETER",
            field=field,
        )
    return moment


def page_size_of(value: int | None) -> int:
    """At most 100; what is absent, not positive or larger means 100 (facts, section 2.3)."""
    return value if value is not None and 0 < value <= _MAX_PAGE else _MAX_PAGE
