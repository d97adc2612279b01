"""Agents: the users of a customer, and who may do what to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from offhook.domain.accounts.customer import MANAGERS, Caller, Permission
from offhook.domain.catalogue.fields import Address
from offhook.domain.errors import InvalidError, NotAllowedError
from offhook.domain.ids import is_uuid
from offhook.domain.texts import checked_text

RING_METHODS = ("ringall", "linear")
_MAX_ITEMS = 100


class AgentProfile(msgspec.Struct, frozen=True):
    """What an agent is made of, beside its password. `permission` is a sum of `Permission` bits."""

    username: str
    permission: int
    name: str = ""
    detail: str = ""
    ring_method: str = RING_METHODS[0]
    tag_ids: Sequence[str] = ()
    addresses: Sequence[Address] = ()


class Agent(msgspec.Struct, frozen=True):
    """An agent as it is now; its password is nowhere to be seen. Points in time are microseconds since 1970."""

    id: str
    customer_id: str
    profile: AgentProfile
    status: str
    created_us: int
    updated_us: int | None
    deleted_us: int | None


def checked_permission(caller: Caller, permission: int) -> int:
    """A permission that `caller` gives, or acts on the holder of: nobody gives a role that they do not have.

    Raises InvalidError for what is no permission, NotAllowedError.
    """
    if not 0 <= permission <= Permission.EVERYTHING:
        raise InvalidError(f"permission is a number from 0 to {int(Permission.EVERYTHING)}.", field="permission")
    if not caller.has_all_of(permission):
        raise NotAllowedError("You cannot give, or act on, a role that you do not have.", field="permission")
    return permission


def needed_for_password(caller: Caller, agent_id: str) -> Permission:
    """One of these roles may change an agent's password: any for one's own."""
    return MANAGERS | Permission.CUSTOMER_AGENT if agent_id == caller.agent_id else Permission.CUSTOMER_ADMIN


def check_is_another(caller: Caller, agent_id: str) -> None:
    """Raises NotAllowedError if it is the caller who is to be deleted."""
    if agent_id == caller.agent_id:
        raise NotAllowedError("You cannot delete yourself. Let another agent do it.", field="id")


def checked_username(username: str) -> str:
    """Raises InvalidError (username)."""
    if not username.strip():
        raise InvalidError("username is empty.", field="username")
    return checked_text("username", username)


def checked_ring_method(ring_method: str) -> str:
    """Raises InvalidError (ring_method)."""
    if ring_method not in RING_METHODS:
        raise InvalidError(f"ring_method is one of {', '.join(RING_METHODS)}.", field="ring_method")
    return ring_method


def checked_tags(tag_ids: Sequence[str]) -> Sequence[str]:
    """Raises InvalidError (tag_ids)."""
    if len(tag_ids) > _MAX_ITEMS or not all(is_uuid(tag) for tag in tag_ids):
        raise InvalidError(f"tag_ids is a list of at most {_MAX_ITEMS} UUIDs.", field="tag_ids")
    return tag_ids


def checked_addresses(addresses: Sequence[dict[str, Any]]) -> list[Address]:
    """Addresses as somebody gave them, field by field; unknown fields are dropped. Raises InvalidError (addresses)."""
    if len(addresses) > _MAX_ITEMS:
        raise InvalidError(f"addresses is a list of at most {_MAX_ITEMS}.", field="addresses")
    checked = []
    for index, address in enumerate(addresses):
        try:
            checked.append(msgspec.convert(address, Address))
        except msgspec.ValidationError as error:
            raise InvalidError(f"addresses[{index}]: {error}", field="addresses", index=index) from None
    return checked
