"""Customers, agents and access keys as the API shows them (facts, sections 1.4 and 3.1)."""

from __future__ import annotations

from typing import Any

import msgspec

from offhook.domain.accounts import access_key, agent, customer
from offhook.domain.ids import NIL_UUID
from offhook.domain.times import from_us, rfc3339, rfc3339_or_none


class Customer(msgspec.Struct, frozen=True):
    """The public shape (facts, section 3.1). `webhook_secret` is filled only for the customer itself."""

    id: str
    name: str
    detail: str
    email: str
    phone_number: str
    address: str
    webhook_method: str
    webhook_uri: str
    billing_account_id: str
    metadata: dict[str, Any]
    email_verified: bool
    status: str
    identity_verification_status: str
    tm_deletion_scheduled: str | None
    tm_create: str | None
    tm_update: str | None
    tm_delete: str | None
    webhook_disabled_reason: str
    webhook_secret: str | msgspec.UnsetType = msgspec.UNSET
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class Agent(msgspec.Struct, frozen=True):
    """The public shape of a user; the password never leaves."""

    id: str
    customer_id: str
    username: str
    name: str
    detail: str
    ring_method: str
    status: str
    permission: int
    tag_ids: list[str]
    addresses: list[dict[str, Any]]
    tm_create: str | None
    tm_update: str | None
    tm_delete: str | None


class AccessKey(msgspec.Struct, frozen=True):
    """The public shape; `token` is there only in the answer to its creation."""

    id: str
    customer_id: str
    name: str
    detail: str
    token_prefix: str
    tm_expire: str | None
    tm_create: str | None
    tm_update: str | None
    tm_delete: str | None
    token: str | msgspec.UnsetType = msgspec.UNSET


def customer_shape(found: customer.Customer, *, with_secret: bool = False) -> Customer:
    """A customer as it is shown, to itself `with_secret`."""
    return Customer(
        id=found.id,
        name=found.name,
        detail=found.detail,
        email=found.email,
        phone_number=found.phone_number,
        address=found.address,
        webhook_method=found.webhook_method if found.webhook_uri else "",
        webhook_uri=found.webhook_uri,
        billing_account_id=NIL_UUID,
        metadata={"rtp_debug": found.has_rtp_debug},
        email_verified=True,
        status=found.status,
        identity_verification_status="none",
        tm_deletion_scheduled=rfc3339_or_none(found.deletion_scheduled_us),
        tm_create=rfc3339(from_us(found.created_us)),
        tm_update=rfc3339_or_none(found.updated_us),
        tm_delete=rfc3339_or_none(found.deleted_us),
        webhook_disabled_reason=found.disabled_reason,
        webhook_secret=found.webhook_secret if with_secret else msgspec.UNSET,
        warnings=customer.uri_warnings(found.webhook_uri) or msgspec.UNSET,
    )


def agent_shape(found: agent.Agent) -> Agent:
    """An agent as it is shown."""
    profile = found.profile
    return Agent(
        id=found.id,
        customer_id=found.customer_id,
        username=profile.username,
        name=profile.name,
        detail=profile.detail,
        ring_method=profile.ring_method,
        status=found.status,
        permission=profile.permission,
        tag_ids=list(profile.tag_ids),
        addresses=msgspec.to_builtins(profile.addresses),
        tm_create=rfc3339(from_us(found.created_us)),
        tm_update=rfc3339_or_none(found.updated_us),
        tm_delete=rfc3339_or_none(found.deleted_us),
    )


def key_holder_shape(customer_id: str) -> Agent:
    """Whoever uses a customer's access key, as if it were an agent."""
    return Agent(
        id=NIL_UUID,
        customer_id=customer_id,
        username="",
        name="access key",
        detail="",
        ring_method="ringall",
        status="",
        permission=int(customer.Permission.CUSTOMER_ADMIN),
        tag_ids=[],
        addresses=[],
        tm_create=None,
        tm_update=None,
        tm_delete=None,
    )


def access_key_shape(found: access_key.AccessKey, token: str = "") -> AccessKey:
    """An access key as it is shown; `token` is its secret, in the answer that makes it."""
    return AccessKey(
        id=found.id,
        customer_id=found.customer_id,
        name=found.name,
        detail=found.detail,
        token_prefix=found.token_prefix,
        tm_expire=rfc3339_or_none(found.expire_us),
        tm_create=rfc3339(from_us(found.created_us)),
        tm_update=rfc3339_or_none(found.updated_us),
        tm_delete=rfc3339_or_none(found.deleted_us),
        token=token or msgspec.UNSET,
    )
