"""A customer's own profile and webhook."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get, post, put

from offhook.domain.customer import (
    MANAGERS,
    Customer,
    Permission,
    checked_method,
    checked_text,
    checked_uri,
    uri_warnings,
)
from offhook.domain.errors import InvalidError
from offhook.store.customers import PROFILE_FIELDS, get_customer
from offhook.store.deliveries import AttemptRow
from offhook.store.destinations import enable_webhook, webhook_of
from offhook.web.asking import AnyRequest, customer_in, services_of
from offhook.web.services import Services

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
    return await services_of(request).store.read(
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
    return await services_of(request).tester.send_test(customer_id, (data or WebhookTestRequest()).type)


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
    webhook = await _webhook_of(services, customer_id, data)
    changed = await services.accounts.change_customer(customer_id, profile, webhook)
    warnings = uri_warnings(changed.webhook_uri)
    return msgspec.structs.replace(changed, warnings=warnings or msgspec.UNSET)


def checked_profile(data: CustomerChange) -> dict[str, str]:
    """The profile fields that are given. Raises InvalidError naming the field."""
    given = {name: getattr(data, name) for name in PROFILE_FIELDS}
    return {name: checked_text(name, value) for name, value in given.items() if value is not None}


async def _webhook_of(services: Services, customer_id: str, data: CustomerChange) -> tuple[str, str] | None:
    if data.webhook_uri is None and data.webhook_method is None:
        return None
    if data.webhook_uri is not None:
        uri = checked_uri(data.webhook_uri, services.policy)
        if not uri and data.webhook_method:
            checked_method(data.webhook_method, uri)
        return uri, checked_method(data.webhook_method or "", uri)
    present = await services.store.read(lambda connection: webhook_of(connection, customer_id))
    method = checked_method(data.webhook_method or "", present.uri)
    if data.webhook_method and not present.uri:
        raise InvalidError(
            "There is no webhook_uri to use this method with. Send both.",
            reason="INVALID_WEBHOOK_METHOD",
            field="webhook_method",
        )
    return present.uri, method
