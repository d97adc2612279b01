"""The events of a recording, and the public shape of one (facts, section 4.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define, one_of
from offhook.domain.catalogue.fields import Owned, Time, Uuid
from offhook.domain.ids import NIL_UUID


class Recording(Owned, frozen=True, kw_only=True):
    """The recording of a call or a conference."""

    activeflow_id: Annotated[Uuid, Meta(description="The execution in which it was made.")]
    reference_type: Annotated[Literal["call", "confbridge"], Meta(description="What is recorded.")]
    reference_id: Annotated[Uuid, Meta(description="Which one.")]
    status: Annotated[
        Literal["initiating", "recording", "stopping", "ended"],
        Meta(description="How far it is; `ended` means that the file can be downloaded."),
    ]
    format: Annotated[Literal["wav"], Meta(description="The format of the file.")] = "wav"
    on_end_flow_id: Annotated[Uuid, Meta(description="The flow that runs when it has ended.")] = NIL_UUID
    tm_start: Annotated[Time | None, Meta(description="When recording really began.")]
    tm_end: Annotated[Time | None, Meta(description="When it stopped.")] = None
    tm_create: Annotated[Time, Meta(description="When it was asked for.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")]
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


STARTED = Recording(
    id=story.RECORDING_ID,
    customer_id=story.CUSTOMER_ID,
    activeflow_id=story.ACTIVEFLOW_ID,
    reference_type="call",
    reference_id=story.CALL_ID,
    status="recording",
    tm_start=story.at(5),
    tm_create=story.at(4.9),
    tm_update=story.at(5),
)
ENDED = replace(STARTED, status="ended", tm_end=story.at(31.57), tm_update=story.at(31.9))
DELETED = replace(ENDED, tm_update=story.at(900), tm_delete=story.at(900))

EVENT_TYPES = (
    define(
        "recording_created",
        "Recording has really started.",
        STARTED,
        narrowed={"status": one_of("recording"), "tm_start": IS_SET},
    ),
    define(
        "recording_updated",
        "The recording is being stopped, or has ended and its file can be downloaded.",
        ENDED,
        narrowed={"status": one_of("stopping", "ended")},
    ),
    define(
        "recording_deleted",
        "The recording was deleted, and its file with it.",
        DELETED,
        narrowed={"tm_delete": IS_SET},
    ),
)
