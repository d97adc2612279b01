"""The events of a call, and the public shape of one (facts, section 4.1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define, one_of
from offhook.domain.catalogue.fields import NO_ACTION, Action, Address, Owned, Time, Uuid
from offhook.domain.ids import NIL_UUID


class Call(Owned, frozen=True, kw_only=True):
    """A phone call: one leg between a phone and Offhook."""

    flow_id: Annotated[Uuid, Meta(description="The flow the call runs.")]
    activeflow_id: Annotated[Uuid, Meta(description="That flow's execution.")]
    type: Annotated[Literal["flow", "conference", "sip-service"], Meta(description="What the call is for.")]
    master_call_id: Annotated[Uuid, Meta(description="The call this one was made for.")] = NIL_UUID
    chained_call_ids: Annotated[list[Uuid], Meta(description="The calls that end with this one.")]
    recording_id: Annotated[Uuid, Meta(description="The recording that is running.")] = NIL_UUID
    recording_ids: Annotated[list[Uuid], Meta(description="All its recordings.")]
    groupcall_id: Annotated[Uuid, Meta(description="The group of calls it belongs to.")] = NIL_UUID
    source: Annotated[Address, Meta(description="Who calls.")]
    destination: Annotated[Address, Meta(description="Who is called.")]
    status: Annotated[
        Literal["dialing", "ringing", "progressing", "terminating", "canceling", "hangup"],
        Meta(description="How far the call is."),
    ]
    action: Annotated[Action, Meta(description="The step of the flow it is at.")]
    metadata: Annotated[
        dict[str, Any],
        Meta(description="What is on: `hold`, `moh` and `silence` by our side, `remote_hold` by the phone."),
    ]
    direction: Annotated[Literal["incoming", "outgoing"], Meta(description="Seen from Offhook.")]
    mute_direction: Annotated[Literal["", "in", "out", "both"], Meta(description="Which way is muted.")] = ""
    hangup_by: Annotated[Literal["", "remote", "local"], Meta(description="Which side hung up; empty before that.")] = (
        ""
    )
    hangup_reason: Annotated[
        Literal["", "normal", "failed", "busy", "cancel", "timeout", "noanswer", "dialout", "amd"],
        Meta(description="Why the call ended; empty before that."),
    ] = ""
    tm_progressing: Annotated[Time | None, Meta(description="When it was answered.")] = None
    tm_ringing: Annotated[Time | None, Meta(description="When it began to ring.")] = None
    tm_hangup: Annotated[Time | None, Meta(description="When it ended.")] = None
    tm_create: Annotated[Time, Meta(description="When it came to be.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")]
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


CREATED = Call(
    id=story.CALL_ID,
    customer_id=story.CUSTOMER_ID,
    flow_id=story.FLOW_ID,
    activeflow_id=story.ACTIVEFLOW_ID,
    type="flow",
    chained_call_ids=[],
    recording_ids=[],
    source=story.CALLER,
    destination=story.BAKERY,
    status="dialing",
    action=NO_ACTION,
    metadata={},
    direction="incoming",
    tm_create=story.at(0),
    tm_update=None,
)
RINGING = replace(CREATED, status="ringing", tm_ringing=story.at(0.1), tm_update=story.at(0.1))
ANSWERED = replace(
    RINGING,
    status="progressing",
    action=story.answer_action(story.at(2.1)),
    tm_progressing=story.at(2.3),
    tm_update=story.at(2.3),
)
UPDATED = replace(ANSWERED, action=story.talk_action(story.at(2.4)), tm_update=story.at(2.4))
RECORDED = replace(UPDATED, recording_id=story.RECORDING_ID, recording_ids=[story.RECORDING_ID], tm_update=story.at(5))
HUNGUP = replace(
    RECORDED,
    status="hangup",
    recording_id=NIL_UUID,
    hangup_by="remote",
    hangup_reason="normal",
    tm_hangup=story.at(31.57),
    tm_update=story.at(31.57),
)

EVENT_TYPES = (
    define(
        "call_created",
        "A call exists: an outgoing one is being dialled, or an incoming one has arrived.",
        CREATED,
        narrowed={"status": one_of("dialing")},
    ),
    define(
        "call_ringing",
        "The far end rings, or an incoming caller hears ringing.",
        RINGING,
        narrowed={"status": one_of("ringing"), "tm_ringing": IS_SET},
    ),
    define(
        "call_answered",
        "The call was answered: both sides can talk from here on.",
        ANSWERED,
        narrowed={"status": one_of("progressing"), "tm_progressing": IS_SET},
    ),
    define(
        "call_updated",
        "The call changed in a way that has no event of its own: it is being ended or cancelled, or its current "
        "action, hold, mute, recordings, chained calls or conference changed.",
        UPDATED,
    ),
    define(
        "call_hungup",
        "The call ended. Always its last event, and always sent; it says who ended it, why and when.",
        HUNGUP,
        narrowed={
            "status": one_of("hangup"),
            "hangup_by": one_of("remote", "local"),
            "hangup_reason": {"minLength": 1},
            "tm_hangup": IS_SET,
        },
    ),
)
