"""The events of a transcription and of its segments, and their public shapes (facts, section 4.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define, one_of
from offhook.domain.catalogue.fields import Resource, Time, Uuid
from offhook.domain.ids import NIL_UUID

Direction = Literal["both", "in", "out"]


class Transcribe(Resource, frozen=True, kw_only=True):
    """A transcription: turning what is said in a call, a conference or a recording into text."""

    activeflow_id: Annotated[Uuid, Meta(description="The execution in which it was started.")]
    on_end_flow_id: Annotated[Uuid, Meta(description="The flow that runs when it is done.")] = NIL_UUID
    reference_type: Annotated[
        Literal["unknown", "recording", "call", "confbridge"], Meta(description="What is transcribed.")
    ]
    reference_id: Annotated[Uuid, Meta(description="Which one.")]
    status: Annotated[Literal["progressing", "done"], Meta(description="How far it is.")]
    language: Annotated[str, Meta(description="The language spoken, as in BCP 47 (`en-US`).")]
    direction: Annotated[Direction, Meta(description="Which side is transcribed.")]
    provider: Annotated[str, Meta(description="Who turns speech into text; empty for the one built in.")] = ""
    tm_create: Annotated[Time, Meta(description="When it was started.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


class Transcript(Resource, frozen=True, kw_only=True):
    """One segment of final text."""

    transcribe_id: Annotated[Uuid, Meta(description="The transcription it is part of.")]
    direction: Annotated[Direction, Meta(description="Which side spoke: `in` is what Offhook hears.")]
    message: Annotated[str, Meta(description="What was said.")]
    tm_transcript: Annotated[
        Time, Meta(description="How far into the audio: a time counted from 0001-01-01T00:00:00Z.")
    ]
    tm_create: Annotated[Time, Meta(description="When the text was final.")]


STARTED = Transcribe(
    id=story.TRANSCRIBE_ID,
    customer_id=story.CUSTOMER_ID,
    activeflow_id=story.ACTIVEFLOW_ID,
    reference_type="call",
    reference_id=story.CALL_ID,
    status="progressing",
    language="en-US",
    direction="both",
    tm_create=story.at(5.2),
)
DONE = replace(STARTED, status="done", tm_update=story.at(31.8))
DELETED = replace(DONE, tm_update=story.at(900), tm_delete=story.at(900))
SEGMENT = Transcript(
    id=story.TRANSCRIPT_ID,
    customer_id=story.CUSTOMER_ID,
    transcribe_id=story.TRANSCRIBE_ID,
    direction="in",
    message="I would like to order two loaves, please.",
    tm_transcript="0001-01-01T00:00:04.25Z",
    tm_create=story.at(10.6),
)

EVENT_TYPES = (
    define("transcribe_created", "Transcription started.", STARTED, narrowed={"status": one_of("progressing")}),
    define(
        "transcribe_updated",
        "Transcription made progress, or is done.",
        DONE,
        narrowed={"tm_update": IS_SET},
    ),
    define("transcribe_deleted", "The transcription was deleted.", DELETED, narrowed={"tm_delete": IS_SET}),
    define(
        "transcript_created",
        "One segment of final text. It belongs to its transcription: its subject is `transcribe/<transcribe_id>`.",
        SEGMENT,
        resource="transcribe",
        id_field="transcribe_id",
    ),
)
