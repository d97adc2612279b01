"""The events of a text message, and the public shape of one (facts, section 4.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define
from offhook.domain.catalogue.fields import Address, Resource, Time


class Target(Struct, frozen=True, kw_only=True):
    """One receiver of a message, and how far the message got."""

    destination: Annotated[Address, Meta(description="Who receives it.")]
    status: Annotated[
        Literal["received", "queued", "gw_timeout", "sent", "dlr_timeout", "failed", "delivered"],
        Meta(description="How far it got: `gw_timeout` is no answer of the carrier, `dlr_timeout` no report."),
    ]
    parts: Annotated[int, Meta(ge=0, description="How many short messages it takes.")]
    tm_update: Annotated[Time | None, Meta(description="When this status came.")]


class Message(Resource, frozen=True, kw_only=True):
    """A text message, inbound or outbound."""

    type: Annotated[Literal["sms"], Meta(description="The kind of message.")] = "sms"
    source: Annotated[Address, Meta(description="Who sends.")]
    targets: Annotated[list[Target], Meta(description="Who receives, one entry each.")]
    text: Annotated[str, Meta(description="The text.")]
    direction: Annotated[Literal["outbound", "inbound"], Meta(description="Seen from Offhook.")]
    tm_create: Annotated[Time, Meta(description="When it was accepted or arrived.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


INBOUND = Message(
    id=story.MESSAGE_ID,
    customer_id=story.CUSTOMER_ID,
    source=story.CALLER,
    targets=[Target(destination=story.BAKERY, status="received", parts=1, tm_update=None)],
    text="Are you open on Sunday?",
    direction="inbound",
    tm_create=story.at(600),
)
DELIVERED = replace(
    INBOUND,
    source=story.BAKERY,
    targets=[Target(destination=story.CALLER, status="delivered", parts=1, tm_update=story.at(664.1))],
    text="Yes, from eight to noon.",
    direction="outbound",
    tm_create=story.at(660),
    tm_update=story.at(664.1),
)
DELETED = replace(DELIVERED, tm_update=story.at(900), tm_delete=story.at(900))

EVENT_TYPES = (
    define("message_created", "An outbound message was accepted, or an inbound one arrived.", INBOUND),
    define(
        "message_updated",
        "The status of one receiver changed: sent, delivered, failed or timed out. Delivery reports count.",
        DELIVERED,
        narrowed={"tm_update": IS_SET},
    ),
    define("message_deleted", "The message was deleted.", DELETED, narrowed={"tm_delete": IS_SET}),
)
