"""The events of a queue and of a call waiting in one, and their public shapes (facts, section 4.5)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue import story
from offhook.domain.catalogue.event_type import IS_SET, define, one_of
from offhook.domain.catalogue.fields import Resource, Time, Uuid
from offhook.domain.ids import NIL_UUID

Count = Annotated[int, Meta(ge=0)]


class Queue(Resource, frozen=True, kw_only=True):
    """A queue in which callers wait for an agent."""

    name: Annotated[str, Meta(description="Its name.")]
    detail: Annotated[str, Meta(description="A remark of your own.")] = ""
    routing_method: Annotated[Literal["", "random"], Meta(description="How an agent is chosen.")] = "random"
    tag_ids: Annotated[list[Uuid], Meta(description="The tags an agent must have.")]
    direct_hash: Annotated[str, Meta(description="The direct address of the queue, if it has one.")] = ""
    wait_flow_id: Annotated[Uuid, Meta(description="The flow a waiting caller hears.")]
    wait_timeout: Annotated[Count, Meta(description="The longest wait in ms; 0 is no limit.")]
    service_timeout: Annotated[Count, Meta(description="The longest service in ms; 0 is no limit.")]
    wait_queuecall_ids: Annotated[list[Uuid], Meta(description="Who waits.")]
    service_queuecall_ids: Annotated[list[Uuid], Meta(description="Who is being served.")]
    total_incoming_count: Annotated[Count, Meta(description="How many callers ever joined.")]
    total_serviced_count: Annotated[Count, Meta(description="How many were served.")]
    total_abandoned_count: Annotated[Count, Meta(description="How many left before.")]
    tm_create: Annotated[Time, Meta(description="When it was created.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


class Queuecall(Resource, frozen=True, kw_only=True):
    """One caller's stay in a queue."""

    reference_type: Annotated[Literal["call"], Meta(description="What waits.")] = "call"
    reference_id: Annotated[Uuid, Meta(description="Which call.")]
    status: Annotated[
        Literal["initiating", "waiting", "connecting", "kicking", "service", "done", "abandoned"],
        Meta(description="How far it is."),
    ]
    service_agent_id: Annotated[Uuid, Meta(description="The agent who was assigned.")] = NIL_UUID
    duration_waiting: Annotated[Count, Meta(description="How long the caller waited, in ms.")] = 0
    duration_service: Annotated[Count, Meta(description="How long the service took, in ms.")] = 0
    tm_create: Annotated[Time, Meta(description="When the caller joined.")]
    tm_service: Annotated[Time | None, Meta(description="When agent and caller began to talk.")] = None
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


QUEUE = Queue(
    id=story.QUEUE_ID,
    customer_id=story.CUSTOMER_ID,
    name="Orders",
    detail="Everybody at the counter",
    tag_ids=[story.TAG_ID],
    wait_flow_id=story.WAIT_FLOW_ID,
    wait_timeout=120_000,
    service_timeout=0,
    wait_queuecall_ids=[],
    service_queuecall_ids=[],
    total_incoming_count=0,
    total_serviced_count=0,
    total_abandoned_count=0,
    tm_create=story.at(-86_400),
)
QUEUE_WITH_WAITER = replace(
    QUEUE, wait_queuecall_ids=[story.QUEUECALL_ID], total_incoming_count=1, tm_update=story.at(6)
)
QUEUE_DELETED = replace(
    QUEUE, total_incoming_count=1, total_serviced_count=1, tm_update=story.at(900), tm_delete=story.at(900)
)

JOINED = Queuecall(
    id=story.QUEUECALL_ID,
    customer_id=story.CUSTOMER_ID,
    reference_id=story.CALL_ID,
    status="initiating",
    tm_create=story.at(6),
)
WAITING = replace(JOINED, status="waiting", tm_update=story.at(6.1))
KICKING = replace(JOINED, status="connecting", service_agent_id=story.AGENT_ID, tm_update=story.at(11))
SERVICED = replace(
    KICKING, status="service", duration_waiting=8_150, tm_service=story.at(14.15), tm_update=story.at(14.15)
)
DONE = replace(SERVICED, status="done", duration_service=17_420, tm_update=story.at(31.57))
ABANDONED = replace(WAITING, status="abandoned", duration_waiting=25_570, tm_update=story.at(31.57))

EVENT_TYPES = (
    define("queue_created", "A queue was created.", QUEUE),
    define(
        "queue_updated",
        "A queue changed: its settings, its counters, or who waits or is being served.",
        QUEUE_WITH_WAITER,
        narrowed={"tm_update": IS_SET},
    ),
    define("queue_deleted", "A queue was deleted.", QUEUE_DELETED, narrowed={"tm_delete": IS_SET}),
    define("queuecall_created", "A call joined a queue.", JOINED, narrowed={"status": one_of("initiating")}),
    define("queuecall_waiting", "The caller waits.", WAITING, narrowed={"status": one_of("waiting")}),
    define(
        "queuecall_kicking",
        "An agent was assigned and is being rung.",
        KICKING,
        narrowed={"status": one_of("connecting", "kicking")},
    ),
    define(
        "queuecall_serviced",
        "Agent and caller talk.",
        SERVICED,
        narrowed={"status": one_of("service"), "tm_service": IS_SET},
    ),
    define("queuecall_done", "The stay ended after service.", DONE, narrowed={"status": one_of("done")}),
    define(
        "queuecall_abandoned",
        "The caller left, or was sent away, before an agent could help.",
        ABANDONED,
        narrowed={"status": one_of("abandoned")},
    ),
)
