"""The events of a flow's execution, and the public shape of one (facts, section 4.7)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define, one_of
from offhook.domain.catalogue.fields import NO_ACTION, Action, Resource, Time, Uuid, WebhookMethod
from offhook.domain.ids import NIL_UUID


class Activeflow(Resource, frozen=True, kw_only=True):
    """One execution of a flow."""

    flow_id: Annotated[Uuid, Meta(description="The flow that is executed.")]
    status: Annotated[Literal["", "running", "ended"], Meta(description="Whether it still runs.")]
    reference_type: Annotated[
        Literal["", "ai", "api", "call", "campaign", "conversation", "transcribe", "recording", "webchat"],
        Meta(description="What it was started for."),
    ]
    reference_id: Annotated[Uuid, Meta(description="Which one.")]
    reference_activeflow_id: Annotated[Uuid, Meta(description="The execution that started this one.")] = NIL_UUID
    on_complete_flow_id: Annotated[Uuid, Meta(description="The flow that runs when it has ended.")] = NIL_UUID
    webhook_uri: Annotated[str, Meta(description="A further address for its events; empty for none.")] = ""
    webhook_method: Annotated[WebhookMethod, Meta(description="The method for that address.")] = ""
    current_action: Annotated[Action, Meta(description="The step it is at.")]
    forward_action_id: Annotated[Uuid, Meta(description="The step it was told to jump to.")] = NIL_UUID
    executed_actions: Annotated[list[Action], Meta(description="The steps behind it.")]
    tm_create: Annotated[Time, Meta(description="When it was started.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


STARTED = Activeflow(
    id=story.ACTIVEFLOW_ID,
    customer_id=story.CUSTOMER_ID,
    flow_id=story.FLOW_ID,
    status="running",
    reference_type="call",
    reference_id=story.CALL_ID,
    current_action=NO_ACTION,
    executed_actions=[],
    tm_create=story.at(0),
)
MOVED = replace(
    STARTED,
    current_action=story.talk_action(story.at(2.4)),
    executed_actions=[story.answer_action(story.at(2.1))],
    tm_update=story.at(2.4),
)
ENDED = replace(
    MOVED,
    status="ended",
    executed_actions=[story.answer_action(story.at(2.1)), story.talk_action(story.at(2.4))],
    tm_update=story.at(31.6),
)

EVENT_TYPES = (
    define(
        "activeflow_created",
        "The execution of a flow started.",
        STARTED,
        narrowed={"status": one_of("running")},
    ),
    define("activeflow_updated", "The execution moved to another action.", MOVED, narrowed={"tm_update": IS_SET}),
    define(
        "activeflow_deleted",
        "The execution ended, for whatever reason.",
        ENDED,
        narrowed={"status": one_of("ended")},
    ),
)
