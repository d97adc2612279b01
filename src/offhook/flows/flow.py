"""A flow: the actions that a call runs, or a program starts. It lives until it is deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue.fields import Action, Resource, Time, Uuid
from offhook.domain.draft import Draft
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import activeflow, number
from offhook.domain.inputs.flow import BY_ID, KIND, Change, Make, RunNext, Wanted, place_of
from offhook.domain.noun import Entry, Noun
from offhook.domain.resources import changed, deleted, missing
from offhook.domain.step import Broken, Delete, Found, Lookup, Refusal, Step, Tell
from offhook.domain.times import rfc3339

Input = Make | Change | Wanted | RunNext | Found | Delete
"""What a flow can be told."""


class Flow(Resource, frozen=True, kw_only=True):
    """The public shape (facts, section 4.7)."""

    type: Annotated[Literal["flow"], Meta(description="What it is for.")] = "flow"
    name: Annotated[str, Meta(description="A name of your own.")] = ""
    detail: Annotated[str, Meta(description="A remark of your own.")] = ""
    actions: Annotated[tuple[Action, ...], Meta(description="What it does, in order.")]
    on_complete_flow_id: Annotated[Uuid, Meta(description="The flow that runs when it has ended.")] = NIL_UUID
    tm_create: Annotated[Time, Meta(description="When it was made.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


class FlowState(msgspec.Struct, frozen=True):
    """A flow. Nothing of it is hidden."""

    flow: Flow


def decide(state: FlowState | None, told: Input, now: datetime) -> Step[FlowState]:
    """What a flow becomes of an input, and what that causes."""
    if state is None:
        assert isinstance(told, Make)
        return Step(FlowState(_made(told, now)))
    draft = Draft(state, now)
    match told:
        case Change():
            draft.change(flow=changed(state.flow, told, now))
        case Wanted(activeflow_id=activeflow_id, turn=turn):
            fetched = activeflow.Fetched(turn, state.flow.actions)
            draft.tells.append(Tell(activeflow.KIND, activeflow_id, fetched))
        case RunNext(start=start):
            started = replace(start, actions=state.flow.actions, on_complete_flow_id=state.flow.on_complete_flow_id)
            draft.tells.append(Tell(activeflow.KIND, start.id, started))
        case Delete():
            # Which numbers name it is known by their index only.
            if state.flow.tm_delete is not None:
                draft.refused = missing(KIND, state.flow.id)
            else:
                draft.lookup = Lookup(number.KIND, number.BY_FLOW, state.flow.id, 1)
        case Found(ids=ids):
            if ids:
                draft.refused = _in_use(state.flow.id, ids[0])
            else:
                draft.change(flow=deleted(state.flow, now))
        case Make():
            pass
        case _:
            assert_never(told)
    return draft.step()


def is_final(state: FlowState) -> bool:
    """Whether it was deleted."""
    return state.flow.tm_delete is not None


def broken(state: FlowState, told: Broken, now: datetime) -> Step[FlowState]:
    """Nothing of a flow runs by itself: there is nothing to end but the flow."""
    del told
    return Step(FlowState(deleted(state.flow, now)))


FLOW: Noun[FlowState] = Noun(
    kind=KIND,
    state_type=FlowState,
    decide=decide,
    is_final=is_final,
    broken=broken,
    customer_of=lambda state: state.flow.customer_id,
    creates=(Make,),
    is_hidden=is_final,
    indexes={BY_ID: lambda state: (Entry(place_of(state.flow.customer_id, state.flow.id)),)},
    lives=False,
)
"""The flow in the registry."""


def _made(told: Make, now: datetime) -> Flow:
    return Flow(
        id=told.id,
        customer_id=told.customer_id,
        name=told.name,
        detail=told.detail,
        actions=told.actions,
        on_complete_flow_id=told.on_complete_flow_id,
        tm_create=rfc3339(now),
    )


def _in_use(flow_id: str, number_id: str) -> Refusal:
    message = f"The number {number_id} runs the flow {flow_id}: give the number another one first."
    return Refusal(409, "STATE_INVALID", message, "id")
