"""An activeflow's life: one execution of a flow, action after action, beside its call.

Theory of operation. It is made with its call and waits for `Go`. It begins an action by telling the call, which carries
out what concerns the channel and tells back `ActionEnded`; what only takes time is a timer of its own. Each action
has a turn, counted up, so that the end of one is never taken for that of another. At the end of the list it tells the
call, which hangs up; it is over when its call is, in the same commit.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from offhook.domain.catalogue.activeflow import Activeflow
from offhook.domain.catalogue.fields import NO_ACTION, Action
from offhook.domain.draft import Draft
from offhook.domain.events.event import resource_event
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import call
from offhook.domain.inputs.activeflow import KIND, ActionEnded, CallEnded, Go, Halt, Start
from offhook.domain.noun import Noun
from offhook.domain.step import Broken, Delete, Due, Step, Tell
from offhook.domain.times import rfc3339
from offhook.flows.actions import doing_of, lasts, option_of
from offhook.flows.interpreter import next_place

Input = Start | Go | ActionEnded | Halt | CallEnded | Due | Delete
"""What an activeflow can be told."""

SLEEP = "sleep"
_MAX_EXECUTED = 1_000


class ActiveflowState(msgspec.Struct, frozen=True, kw_only=True):
    """An activeflow. `actions` are as they were at its start; it is at the one at `place`, -1 before the first, its
    `turn`th. `is_halted`: nothing new is begun."""

    activeflow: Activeflow
    actions: tuple[Action, ...]
    place: int = -1
    turn: int = 0
    is_halted: bool = False


class _Draft(Draft[ActiveflowState]):
    def tell_customer(self, event_type: str) -> None:
        flow = self.state.activeflow
        self.events.append(
            resource_event(
                event_type,
                flow,
                customer_id=flow.customer_id,
                subject=f"activeflow/{flow.id}",
                activeflow_id=flow.id,
            )
        )

    def tell_call(self, told: call.Begin | call.FlowEnded) -> None:
        self.tells.append(Tell(call.KIND, self.state.activeflow.reference_id, told))


def decide(state: ActiveflowState | None, told: Input, now: datetime) -> Step[ActiveflowState]:
    """What an activeflow becomes of an input, and what that causes."""
    if state is None:
        assert isinstance(told, Start)
        return _started(told, now)
    draft = _Draft(state, now)
    match told:
        case Go():
            if state.turn == 0 and not state.is_halted:
                _go_on(draft)
        case ActionEnded(turn=turn):
            if turn == state.turn and not state.is_halted:
                _go_on(draft)
        case Due():
            if not state.is_halted:
                _go_on(draft)
        case Halt():
            draft.change(is_halted=True)
            draft.timers[SLEEP] = None
        case CallEnded():
            _end(draft)
        case Delete():
            _delete(draft)
        case Start():
            pass
        case _:
            assert_never(told)
    return draft.step()


def is_final(state: ActiveflowState) -> bool:
    """Whether the execution is over."""
    return state.activeflow.status == "ended"


def broken(state: ActiveflowState, told: Broken, now: datetime) -> Step[ActiveflowState]:
    """End it, and with it its call as failed."""
    del told
    draft = _Draft(state, now)
    _end(draft)
    draft.tell_call(call.FlowEnded(has_failed=True))
    return draft.step()


ACTIVEFLOW: Noun[ActiveflowState] = Noun(
    kind=KIND,
    state_type=ActiveflowState,
    decide=decide,
    is_final=is_final,
    broken=broken,
    customer_of=lambda state: state.activeflow.customer_id,
    creates=(Start,),
)
"""The activeflow in the registry."""


def _started(told: Start, now: datetime) -> Step[ActiveflowState]:
    flow = Activeflow(
        id=told.id,
        customer_id=told.customer_id,
        flow_id=NIL_UUID,
        status="running",
        reference_type="call",
        reference_id=told.call_id,
        current_action=NO_ACTION,
        executed_actions=[],
        tm_create=rfc3339(now),
    )
    draft = _Draft(ActiveflowState(activeflow=flow, actions=told.actions), now)
    draft.tell_customer("activeflow_created")
    return draft.step()


def _go_on(draft: _Draft) -> None:
    """The present action is over; begin the next one."""
    state = draft.state
    draft.timers[SLEEP] = None
    place = next_place(state.actions, state.place)
    if place is None:
        draft.change(is_halted=True)
        draft.tell_call(call.FlowEnded())
        return
    action = replace(state.actions[place], tm_execute=rfc3339(draft.now))
    flow = replace(
        state.activeflow,
        current_action=action,
        executed_actions=_executed(state),
        tm_update=rfc3339(draft.now),
    )
    draft.change(activeflow=flow, place=place, turn=state.turn + 1)
    draft.tell_customer("activeflow_updated")
    option = option_of(action)
    span = lasts(option)
    if span is not None:
        draft.timers[SLEEP] = draft.now + span
    draft.tell_call(call.Begin(draft.state.turn, action, doing_of(option)))


def _executed(state: ActiveflowState) -> list[Action]:
    """The actions behind it once the present one is: the first thousand."""
    done = state.activeflow.executed_actions
    return [*done, state.activeflow.current_action][:_MAX_EXECUTED] if state.turn else done


def _end(draft: _Draft) -> None:
    state, at = draft.state, rfc3339(draft.now)
    flow = replace(state.activeflow, status="ended", executed_actions=_executed(state), tm_update=at)
    draft.change(activeflow=flow, is_halted=True)
    draft.tell_customer("activeflow_deleted")


def _delete(draft: _Draft) -> None:
    """One that runs ends with its call; it is hidden from then on."""
    if not is_final(draft.state) and not draft.state.is_halted:
        draft.change(is_halted=True)
        draft.timers[SLEEP] = None
        draft.tell_call(call.FlowEnded())
    draft.change(activeflow=replace(draft.state.activeflow, tm_delete=rfc3339(draft.now)))
