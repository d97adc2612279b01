"""A customer's own profile and webhook."""

from __future__ import annotations

import msgspec
from litestar import get, post, put

from offhook.domain.accounts.customer import MANAGERS, PROFILE_FIELDS, Permission
from offhook.store.queries.customers import get_customer
from offhook.web.request import AnyRequest, caller_in, customer_for, customer_in, services_of
from offhook.web.shapes.accounts import Customer, customer_shape
from offhook.web.shapes.deliveries import AttemptRow, attempt_row

ADMIN = Permission.CUSTOMER_ADMIN
_DEFAULT_TEST = "call_hungup"


class CustomerChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays as it is. `webhook_uri` "" switches webhooks off."""

    name: str | None = None
    detail: str | None = None
    email: str | None = None
    phone_number: str | None = None
    address: str | None = None
    webhook_method: str | None = None
    webhook_uri: str | None = None

    @property
    def profile(self) -> dict[str, str | None]:
        """The fields that are no part of the webhook."""
        return {name: getattr(self, name) for name in PROFILE_FIELDS}


class WebhookTestRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sample event to send."""

    type: str = _DEFAULT_TEST


class NewSecret(msgspec.Struct, frozen=True):
    """The new secret, for the customer itself. The old one signs beside it for 24 hours."""

    webhook_secret: str | msgspec.UnsetType = msgspec.UNSET


@get("/v1.0/customer", tags=["customer"])
async def show(request: AnyRequest) -> Customer:
    """The customer's profile and webhook; to itself, the webhook secret too."""
    caller = await caller_in(request)
    customer_id = await customer_for(request, caller, MANAGERS)
    found = await services_of(request).store.read_for_api(lambda connection: get_customer(connection, customer_id))
    return customer_shape(found, with_secret=customer_id == caller.customer_id)


@put("/v1.0/customer", tags=["customer"])
async def change(request: AnyRequest, data: CustomerChange) -> Customer:
    """Change the fields that are given. Setting `webhook_uri` resumes what was held, with a clean health."""
    customer_id = await customer_in(request, ADMIN)
    customers = services_of(request).customers
    return customer_shape(await customers.change(customer_id, data.profile, data.webhook_uri, data.webhook_method))


@post("/v1.0/customer/webhook_secret/rotate", status_code=200, tags=["customer"])
async def rotate_secret(request: AnyRequest) -> NewSecret:
    """Make a new webhook secret. To an operator, who does it for another customer, it is not shown."""
    caller = await caller_in(request)
    customer_id = await customer_for(request, caller, ADMIN)
    secret = await services_of(request).customers.rotate_secret(customer_id)
    return NewSecret(secret) if customer_id == caller.customer_id else NewSecret()


@post("/v1.0/customer/webhook_test", status_code=200, tags=["customer"])
async def send_test(request: AnyRequest, data: WebhookTestRequest | None = None) -> AttemptRow:
    """Send one signed sample event now; what came of it. It is not part of the event log."""
    customer_id = await customer_in(request, ADMIN)
    return attempt_row(await services_of(request).tester.send_test(customer_id, (data or WebhookTestRequest()).type))


@post("/v1.0/customer/webhook_enable", status_code=200, tags=["customer"])
async def enable(request: AnyRequest) -> Customer:
    """Use a disabled webhook again; held events are sent."""
    customer_id = await customer_in(request, ADMIN)
    return customer_shape(await services_of(request).customers.enable_webhook(customer_id))
