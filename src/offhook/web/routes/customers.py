"""Customers, for the operator (ProjectSuperAdmin)."""

from __future__ import annotations

from litestar import delete, get, post, put

from offhook.domain.place import place_token, read_place
from offhook.store.queries.customers import get_customer, list_customers
from offhook.web.request import AnyRequest, Listing, checked_id, operator_in, page_size_of, services_of
from offhook.web.routes.customer import CustomerChange
from offhook.web.shapes.accounts import Customer, customer_shape


class NewCustomer(CustomerChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile, and the first agent's username and password."""

    username: str
    password: str


@get("/v1.0/customers", tags=["customers"])
async def list_all(request: AnyRequest, page_size: int | None = None, page_token: str = "") -> Listing:
    """Every customer, newest first."""
    await operator_in(request)
    before = read_place(page_token)
    listed = await services_of(request).store.read_for_api(
        lambda connection: list_customers(connection, before=before, page_size=page_size_of(page_size))
    )
    return Listing([customer_shape(customer) for customer in listed.found], place_token(listed.place))


@post("/v1.0/customers", status_code=200, tags=["customers"])
async def create(request: AnyRequest, data: NewCustomer) -> Customer:
    """Make a customer with its first agent (CustomerAdmin and CustomerManager)."""
    await operator_in(request)
    made = await services_of(request).customers.create(
        data.profile, data.username, data.password, data.webhook_uri or "", data.webhook_method or ""
    )
    return customer_shape(made)


@get("/v1.0/customers/{customer:str}", tags=["customers"])
async def show(request: AnyRequest, customer: str) -> Customer:
    """One customer."""
    await operator_in(request)
    wanted = checked_id(customer)
    return customer_shape(
        await services_of(request).store.read_for_api(lambda connection: get_customer(connection, wanted))
    )


@put("/v1.0/customers/{customer:str}", tags=["customers"])
async def change(request: AnyRequest, customer: str, data: CustomerChange) -> Customer:
    """Change the fields that are given."""
    await operator_in(request)
    changed = await services_of(request).customers.change(
        checked_id(customer), data.profile, data.webhook_uri, data.webhook_method
    )
    return customer_shape(changed)


@post("/v1.0/customers/{customer:str}/freeze", status_code=200, tags=["customers"])
async def freeze(request: AnyRequest, customer: str) -> Customer:
    """Let a customer do nothing; its events are held. At `tm_deletion_scheduled`, 30 days on, it is deleted."""
    caller = await operator_in(request)
    return customer_shape(await services_of(request).customers.freeze(caller, checked_id(customer)))


@post("/v1.0/customers/{customer:str}/recover", status_code=200, tags=["customers"])
async def recover(request: AnyRequest, customer: str) -> Customer:
    """Undo a freeze, and the deletion that it announced; held events are sent."""
    await operator_in(request)
    return customer_shape(await services_of(request).customers.recover(checked_id(customer)))


@delete("/v1.0/customers/{customer:str}", status_code=200, tags=["customers"])
async def remove(request: AnyRequest, customer: str) -> Customer:
    """Delete a customer: its credentials end, what is pending is cancelled."""
    caller = await operator_in(request)
    return customer_shape(await services_of(request).customers.delete(caller, checked_id(customer)))
