"""The events of a conference and of the bridge that mixes it, and their public shapes (facts, section 4.6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define, one_of
from offhook.domain.catalogue.fields import Resource, Time, Uuid
from offhook.domain.ids import NIL_UUID


class Conference(Resource, frozen=True, kw_only=True):
    """A conference that calls can join."""

    type: Annotated[Literal["", "conference", "connect", "queue"], Meta(description="What it is for.")]
    status: Annotated[
        Literal["starting", "progressing", "terminating", "terminated"], Meta(description="How far it is.")
    ]
    name: Annotated[str, Meta(description="Its name.")]
    detail: Annotated[str, Meta(description="A remark of your own.")] = ""
    data: Annotated[dict[str, Any], Meta(description="Whatever you stored with it.")]
    timeout: Annotated[int, Meta(ge=0, description="The longest time it lasts, in seconds; 0 is no limit.")]
    pre_flow_id: Annotated[Uuid, Meta(description="The flow run before a call joins.")] = NIL_UUID
    post_flow_id: Annotated[Uuid, Meta(description="The flow run after a call has left.")] = NIL_UUID
    conferencecall_ids: Annotated[list[Uuid], Meta(description="Who takes part.")]
    recording_id: Annotated[Uuid, Meta(description="The recording that is running.")] = NIL_UUID
    recording_ids: Annotated[list[Uuid], Meta(description="All its recordings.")]
    transcribe_id: Annotated[Uuid, Meta(description="The transcription that is running.")] = NIL_UUID
    transcribe_ids: Annotated[list[Uuid], Meta(description="All its transcriptions.")]
    direct_hash: Annotated[str, Meta(description="The direct address of the conference, if it has one.")] = ""
    tm_end: Annotated[Time | None, Meta(description="When it ended.")] = None
    tm_create: Annotated[Time, Meta(description="When it was created.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


class Confbridge(Resource, frozen=True, kw_only=True):
    """The bridge that mixes the sound of the calls in it."""

    activeflow_id: Annotated[Uuid, Meta(description="The execution in which it was made.")] = NIL_UUID
    reference_type: Annotated[
        Literal["call", "conference", "ai", "queue", "transcribe", "transfer"],
        Meta(description="What the bridge is for."),
    ]
    reference_id: Annotated[Uuid, Meta(description="Which one.")]
    type: Annotated[Literal["connect", "conference"], Meta(description="Two parties, or many.")]
    status: Annotated[Literal["progressing", "terminating", "terminated"], Meta(description="How far it is.")]
    bridge_id: Annotated[str, Meta(description="The bridge's name on the switch.")]
    flags: Annotated[list[Literal["no_auto_leave"]], Meta(description="Departures from the usual behaviour.")]
    channel_call_ids: Annotated[dict[str, Uuid], Meta(description="The calls in the bridge, by channel on the switch.")]
    recording_id: Annotated[Uuid, Meta(description="The recording that is running.")] = NIL_UUID
    recording_ids: Annotated[list[Uuid], Meta(description="All its recordings.")]
    external_media_ids: Annotated[list[Uuid], Meta(description="The audio streams attached to it.")]
    joined_call_id: Annotated[Uuid, Meta(description="The call that has just joined; nil otherwise.")] = NIL_UUID
    left_call_id: Annotated[Uuid, Meta(description="The call that has just left; nil otherwise.")] = NIL_UUID
    tm_create: Annotated[Time, Meta(description="When it came to be.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was gone.")] = None


CREATED = Conference(
    id=story.CONFERENCE_ID,
    customer_id=story.CUSTOMER_ID,
    type="conference",
    status="progressing",
    name="Monday planning",
    data={},
    timeout=3_600,
    conferencecall_ids=[],
    recording_ids=[],
    transcribe_ids=[],
    tm_create=story.at(1_200),
)
UPDATED = replace(CREATED, conferencecall_ids=[story.CONFERENCECALL_ID], tm_update=story.at(1_207))
DELETED = replace(
    CREATED,
    status="terminated",
    tm_end=story.at(2_400),
    tm_update=story.at(2_400),
    tm_delete=story.at(2_400),
)

BRIDGE_CREATED = Confbridge(
    id=story.CONFBRIDGE_ID,
    customer_id=story.CUSTOMER_ID,
    reference_type="conference",
    reference_id=story.CONFERENCE_ID,
    type="conference",
    status="progressing",
    bridge_id="offhook-" + story.CONFBRIDGE_ID,
    flags=[],
    channel_call_ids={},
    recording_ids=[],
    external_media_ids=[],
    tm_create=story.at(1_200),
)
BRIDGE_JOINED = replace(
    BRIDGE_CREATED,
    channel_call_ids={"1772442007.12": story.CALL_ID},
    joined_call_id=story.CALL_ID,
    tm_update=story.at(1_207),
)
BRIDGE_GONE = replace(BRIDGE_CREATED, status="terminated", tm_update=story.at(2_400), tm_delete=story.at(2_400))

EVENT_TYPES = (
    define("conference_created", "A conference was created.", CREATED),
    define(
        "conference_updated",
        "A conference changed: its settings, or somebody joined or left.",
        UPDATED,
        narrowed={"tm_update": IS_SET},
    ),
    define(
        "conference_deleted",
        "A conference is over. Sent once.",
        DELETED,
        narrowed={"status": one_of("terminated")},
    ),
    define(
        "confbridge_created",
        "A bridge that mixes calls exists.",
        BRIDGE_CREATED,
        narrowed={"status": one_of("progressing")},
    ),
    define(
        "confbridge_updated",
        "A call joined the bridge (`joined_call_id`) or left it (`left_call_id`).",
        BRIDGE_JOINED,
    ),
    define(
        "confbridge_deleted",
        "The bridge is gone.",
        BRIDGE_GONE,
        narrowed={"status": one_of("terminated")},
    ),
)
