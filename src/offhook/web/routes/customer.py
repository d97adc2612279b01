"""A customer's own profile and webhook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import get, post, put

from offhook.domain.customer import (
    MANAGERS,
    Customer,
    Permission,
    checked_text,
    chosen_webhook,
    uri_warnings,
)
from offhook.store.customers import PROFILE_FIELDS, get_customer
from offhook.store.destinations import enable_webhook
from offhook.web.asking import AnyRequest, customer_in, services_of
from offhook.web.services import Services
from offhook.web.shapes.deliveries import AttemptRow, attempt_row

ADMIN = Permission.CUSTOMER_ADMIN
_DEFAULT_TEST = "call_hungup"


class CustomerChange(msgspec.Struct, frozen=True):
    """What is absent stays as it is. `webhook_uri` "" switches webhooks off."""

    name: str | None = None
    detail: str | None = None
    email: str | None = None
    phone_number: str | None = None
    address: str | None = None
    webhook_method: str | None = None
    webhook_uri: str | None = None


class WebhookTestRequest(msgspec.Struct, frozen=True):
    """Which sample event to send."""

    type: str = _DEFAULT_TEST


class NewSecret(msgspec.Struct, frozen=True):
    """The new secret. The old one signs beside it for 24 hours."""

    webhook_secret: str


@get("/v1.0/customer", tags=["customer"])
async def show(request: AnyRequest) -> Customer:
    """The customer's profile, webhook and webhook secret."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).store.read_for_api(
        lambda connection: get_customer(connection, customer_id, with_secret=True)
    )


@put("/v1.0/customer", tags=["customer"])
async def change(request: AnyRequest, data: CustomerChange) -> Customer:
    """Change the fields that are given. Setting `webhook_uri` resumes what was held, with a clean health."""
    customer_id = await customer_in(request, ADMIN)
    return await apply_change(services_of(request), customer_id, data)


@post("/v1.0/customer/webhook_secret/rotate", status_code=200, tags=["customer"])
async def rotate_secret(request: AnyRequest) -> NewSecret:
    """Make a new webhook secret."""
    customer_id = await customer_in(request, ADMIN)
    return NewSecret(await services_of(request).accounts.rotate_secret(customer_id))


@post("/v1.0/customer/webhook_test", status_code=200, tags=["customer"])
async def send_test(request: AnyRequest, data: WebhookTestRequest | None = None) -> AttemptRow:
    """Send one signed sample event now; what came of it. It is not part of the event log."""
    customer_id = await customer_in(request, ADMIN)
    return attempt_row(await services_of(request).tester.send_test(customer_id, (data or WebhookTestRequest()).type))


@post("/v1.0/customer/webhook_enable", status_code=200, tags=["customer"])
async def enable(request: AnyRequest) -> Customer:
    """Use a disabled webhook again; held events are sent."""
    customer_id = await customer_in(request, ADMIN)
    services = services_of(request)

    def do(tx: Any) -> Customer:
        enable_webhook(tx, customer_id)
        return get_customer(tx.reader, customer_id)

    return await services.store.write(do)


async def apply_change(services: Services, customer_id: str, data: CustomerChange) -> Customer:
    """Change profile and webhook of a customer. Raises InvalidError naming the field, NotFoundError."""
    profile = checked_profile(data)
    webhook = _webhook_change(services, data)
    changed = await services.accounts.change_customer(customer_id, profile, webhook)
    warnings = uri_warnings(changed.webhook_uri)
    return msgspec.structs.replace(changed, warnings=warnings or msgspec.UNSET)


def checked_profile(data: CustomerChange) -> dict[str, str]:
    """The profile fields that are given. Raises InvalidError naming the field."""
    given = {name: getattr(data, name) for name in PROFILE_FIELDS}
    return {name: checked_text(name, value) for name, value in given.items() if value is not None}


def _webhook_change(services: Services, data: CustomerChange) -> Callable[[tuple[str, str]], tuple[str, str]] | None:
    if data.webhook_uri is None and data.webhook_method is None:
        return None
    return lambda present: chosen_webhook(present, data.webhook_uri, data.webhook_method, services.policy)
