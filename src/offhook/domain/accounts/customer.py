"""Customers: what is known of them, who may do what, and the rules of a webhook's address and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import IntFlag
from urllib.parse import urlsplit

import msgspec

from offhook.domain.delivery.delivery import OFF
from offhook.domain.delivery.networks import NetworkPolicy, is_loopback, literal_address
from offhook.domain.errors import InvalidError, NotAllowedError
from offhook.domain.ids import NIL_UUID
from offhook.domain.texts import checked_text

PROFILE_FIELDS = ("name", "detail", "email", "phone_number", "address")
METHODS = ("POST", "PUT", "GET", "DELETE")
_MAX_URI = 2_048
_OLD_SECRET_LIFETIME_US = timedelta(hours=24) // timedelta(microseconds=1)
_MAX_OLD_SECRETS = 5


class Permission(IntFlag):
    """Roles as bits (facts, section 1.6)."""

    NONE = 0
    PROJECT_SUPER_ADMIN = 1
    CUSTOMER_AGENT = 16
    CUSTOMER_ADMIN = 32
    CUSTOMER_MANAGER = 64
    EVERYTHING = 65535


MANAGERS = Permission.CUSTOMER_ADMIN | Permission.CUSTOMER_MANAGER
# What a role includes beside itself.
_INCLUDED = {
    Permission.PROJECT_SUPER_ADMIN: Permission.EVERYTHING,
    Permission.CUSTOMER_ADMIN: Permission.CUSTOMER_MANAGER | Permission.CUSTOMER_AGENT,
}


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request. `agent_id` is the nil UUID for an access key, which acts as CustomerAdmin."""

    customer_id: str
    agent_id: str
    permission: int
    is_frozen: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether this is a ProjectSuperAdmin, who may act on any customer's behalf."""
        return bool(self.permission & Permission.PROJECT_SUPER_ADMIN)

    def has_all_of(self, permission: int) -> bool:
        """Whether every role in `permission` is the caller's, by itself or included in another one."""
        own = self.permission
        for role, included in _INCLUDED.items():
            if own & role:
                own |= included
        return not permission & ~own

    def may(self, needed: Permission) -> bool:
        """Whether the caller has one of the needed roles."""
        return self.is_operator or bool(self.permission & needed)


def check_is_anothers(caller: Caller, customer_id: str) -> None:
    """Raises NotAllowedError if it is the caller's own customer that is to be frozen or deleted."""
    if customer_id == caller.customer_id:
        raise NotAllowedError("This is your own customer: you would lock yourself out.", field="id")


def access_key_caller(customer_id: str, *, is_frozen: bool) -> Caller:
    """What an access key may do, always (facts, section 1.4)."""
    return Caller(customer_id, NIL_UUID, int(Permission.CUSTOMER_ADMIN), is_frozen)


class Customer(msgspec.Struct, frozen=True):
    """An account, with its webhook as it is now. Points in time are microseconds since 1970.

    `webhook_uri` is empty while the webhook is off; `webhook_held_reason` is empty while it is in use.
    """

    id: str
    name: str
    detail: str
    email: str
    phone_number: str
    address: str
    has_rtp_debug: bool
    status: str
    webhook_uri: str
    webhook_method: str
    webhook_held_reason: str
    webhook_secret: str
    deletion_scheduled_us: int | None
    created_us: int
    updated_us: int | None
    deleted_us: int | None

    @property
    def disabled_reason(self) -> str:
        """Why a webhook that is set is not used; empty if it is in use, or off."""
        return "" if self.webhook_held_reason == OFF else self.webhook_held_reason


class WebhookSecrets(msgspec.Struct, frozen=True):
    """What signs a customer's events: the present secret and, until a time (µs since 1970), old ones, newest first."""

    present: str
    old: tuple[str, ...] = ()
    old_until_us: int | None = None

    def live_at(self, now_us: int) -> tuple[str, ...]:
        """Those that sign, newest first."""
        is_old_live = self.old_until_us is not None and now_us < self.old_until_us
        return (self.present, *self.old) if is_old_live else (self.present,)

    def rotated(self, secret: str, now_us: int) -> WebhookSecrets:
        """With `secret` as the present one. Those that sign now keep signing beside it, each for 24 hours at least."""
        return WebhookSecrets(secret, self.live_at(now_us)[:_MAX_OLD_SECRETS], now_us + _OLD_SECRET_LIFETIME_US)


def checked_profile(given: Mapping[str, str | None]) -> dict[str, str]:
    """The profile fields that are given. Raises InvalidError naming the field."""
    return {name: checked_text(name, value) for name in PROFILE_FIELDS if (value := given.get(name)) is not None}


def checked_method(method: str, uri: str) -> str:
    """The method to use with `uri`; absent means POST. Raises InvalidError (webhook_method)."""
    if method and method not in METHODS:
        raise InvalidError(
            f"webhook_method is one of {', '.join(METHODS)}.", reason="INVALID_WEBHOOK_METHOD", field="webhook_method"
        )
    return (method or "POST") if uri else ""


def chosen_webhook(
    present: tuple[str, str], uri: str | None, method: str | None, policy: NetworkPolicy
) -> tuple[str, str]:
    """The webhook after a change: uri and method, each left as it was where None is given.

    `present` is what there was. Raises InvalidError (webhook_uri, webhook_method).
    """
    wanted = present[0] if uri is None else checked_uri(uri, policy)
    if uri is None and method and not wanted:
        raise InvalidError(
            "There is no webhook_uri to use this method with. Send both.",
            reason="INVALID_WEBHOOK_METHOD",
            field="webhook_method",
        )
    return wanted, checked_method(present[1] if method is None else method, wanted)


def checked_uri(uri: str, policy: NetworkPolicy) -> str:
    """`uri` if a webhook may be sent to it, as far as can be told before connecting. "" switches webhooks off.

    Raises InvalidError (webhook_uri) with the reason. A name is looked up, and checked, at every connect.
    """
    if not uri:
        return ""
    fault = fault_of_uri(uri, policy)
    if fault:
        raise InvalidError(f"webhook_uri {fault}.", reason="INVALID_WEBHOOK_URI", field="webhook_uri")
    return uri


def fault_of_uri(uri: str, policy: NetworkPolicy) -> str:
    """Why nothing may be sent to `uri`, as far as can be told before connecting: the end of a sentence, or ""."""
    return _fault_of(uri) or _forbidden(uri, policy)


def uri_warnings(uri: str) -> list[str]:
    """What is allowed and still deserves a second look."""
    if uri[:7].lower() == "http://" and not is_loopback(urlsplit(uri).hostname or ""):
        return ["webhook_uri is plain http: anyone on the way can read the events. Use https in production."]
    return []


def _fault_of(uri: str) -> str:
    if len(uri) > _MAX_URI:
        return f"is longer than {_MAX_URI} characters"
    if any(character.isspace() or not character.isprintable() for character in uri) or "\\" in uri:
        return "contains a space, a control character or a backslash"
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https"):
        return "must be an absolute http or https URL"
    if not parts.hostname or port == 0:
        return "has no host or an impossible port"
    if parts.username is not None or parts.password is not None:
        return "must not contain user or password"
    if "#" in uri:
        return "must not contain a fragment"
    return "" if _is_host(parts.hostname) else "has a host that cannot be a name or an address"


def _is_host(host: str) -> bool:
    if ":" in host:
        return literal_address(host) is not None or literal_address(f"[{host}]") is not None
    try:
        name = host.rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return False
    labels = name.split(".")
    return len(name) <= 253 and all(label and all(c.isalnum() or c in "-_" for c in label) for label in labels)


def _forbidden(uri: str, policy: NetworkPolicy) -> str:
    parts = urlsplit(uri)
    host = parts.hostname or ""
    address = literal_address(host) or (literal_address(f"[{host}]") if ":" in host else None)
    if address is None:
        return ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    refusal = policy.refusal(address, port)
    return f"points to an address that is not allowed: {refusal}" if refusal else ""
