"""Field types and objects that several resources share (facts, sections 2.4-2.6, under the contract's rules)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from offhook.domain.ids import NIL_UUID

Uuid = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        extra_json_schema={"format": "uuid"},
    ),
]
"""Always present; the nil UUID stands for "none"."""

Time = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
"""RFC 3339 with `Z` and at most six fraction digits; a field that may be "not yet" is `Time | None`."""

AddressType = Literal[
    "", "agent", "ai", "ai_team", "conference", "email", "extension", "line", "sip", "tel", "webchat", "web_session",
    "whatsapp",
]  # fmt: skip


WebhookMethod = Literal["", "POST", "PUT", "GET", "DELETE"]
"""Empty where there is no webhook."""


class Address(Struct, frozen=True, kw_only=True):
    """Where a call or a message comes from or goes to."""

    type: Annotated[AddressType, Meta(description="What kind of address `target` is.")] = ""
    target: Annotated[str, Meta(description="The number, SIP address, extension or id itself.")] = ""
    target_name: Annotated[str, Meta(description="The name the network gave for the target.")] = ""
    name: Annotated[str, Meta(description="A name of your own.")] = ""
    detail: Annotated[str, Meta(description="A remark of your own.")] = ""


class Action(Struct, frozen=True, kw_only=True):
    """One step of a flow."""

    id: Annotated[Uuid, Meta(description="Identifies the step within its flow.")] = NIL_UUID
    next_id: Annotated[Uuid, Meta(description="The step that follows; nil means the next in the list.")] = NIL_UUID
    type: Annotated[str, Meta(description="What is done, such as `answer`, `talk` or `play`; empty before the first.")]
    option: Annotated[dict[str, Any], Meta(description="The options of that type of action.")]
    tm_execute: Annotated[Time | None, Meta(description="When the step was started.")]
    error: Annotated[str, Meta(description="Why it could not be done; empty if it could.")] = ""


class Resource(Struct, frozen=True, kw_only=True):
    """What every resource starts with."""

    id: Annotated[Uuid, Meta(description="Identifies the resource.")]
    customer_id: Annotated[Uuid, Meta(description="The customer it belongs to.")]


class Owned(Resource, frozen=True, kw_only=True):
    """A resource that an agent may own."""

    owner_type: Annotated[Literal["", "agent"], Meta(description="`agent`, or empty without an owner.")] = ""
    owner_id: Annotated[Uuid, Meta(description="The agent who owns it.")] = NIL_UUID


NO_ACTION = Action(type="", option={}, tm_execute=None)
