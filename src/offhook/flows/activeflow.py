"""An activeflow's life: one execution of a flow, action after action, beside its call or by itself.

Theory of operation. `execution.advance` says what comes next; here it is begun, and its end awaited. What concerns the
channel is told to the call (`Begin`), which tells back `ActionEnded`; what only takes time is a timer of its own;
digits are told by the call as they are typed. Each action that acts has a turn, counted up, so that the end of one is
never taken for that of another. At the end of the list a call is told, which hangs up; the activeflow is over when its
call is, in the same commit. Without a call it is over at once.

What many actions in a row do without taking time is cut into units of their own (`_MAX_TURNS_A_UNIT`), so that a long
list holds nobody else up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import assert_never

import msgspec
from msgspec.structs import asdict, replace

from offhook.domain.catalogue.activeflow import Activeflow
from offhook.domain.catalogue.fields import NO_ACTION, Action
from offhook.domain.draft import Draft
from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import call, flow
from offhook.domain.inputs.activeflow import (
    KIND,
    ActionEnded,
    CallEnded,
    Fetched,
    Go,
    Halt,
    Listening,
    Start,
    StopAsked,
    Typed,
)
from offhook.domain.noun import Entry, Noun, OwnWebhook
from offhook.domain.resources import missing
from offhook.domain.step import (
    Answered,
    Broken,
    Delete,
    Due,
    Ended,
    Found,
    Lookup,
    Outcome,
    Refusal,
    Step,
    Tell,
    made_id,
)
from offhook.domain.times import rfc3339
from offhook.domain.web_request import WebRequest
from offhook.flows.addresses import fault_of_sounds
from offhook.flows.doing import doing_of, lasts
from offhook.flows.execution import Begun, Execution, Known, advance, pushed, started
from offhook.flows.options import DigitsReceive, Fetch, FetchFlow, Option, Play, Talk, WebhookSend
from offhook.flows.web import MAX_FETCHED, fault_of_answer, fault_of_sending, fetched_actions, sent_by

Input = (
    Start | Go | ActionEnded | Listening | Typed | Fetched | Found | StopAsked | Halt | CallEnded | Ended | Due | Delete
)
"""What an activeflow can be told."""

_MAX_EXECUTED = 1_000
_MAX_EXECUTED_BYTES = 196_608
_MAX_DIGITS = 1_000
_FETCH_PATIENCE = timedelta(seconds=5)
_MAX_TURNS_A_UNIT = 25
RUNNING_OR_ENDED = ("running", "ended")
"""What the status is."""
RUNNING = "running"
"""The index by which a customer's activeflows without a call are found that run."""
MAX_RUNNING = 1_000
"""So many of them can be asked for at most."""
# Ids are made of numbers, each kind of its own: of what follows (0 to 5), of requests, of actions that were fetched.
_FIRST_REQUEST = 1_000
_FIRST_FETCHED = 1_000_000
MAX_COMPLETE_COUNT = 5
"""So many run one after another, each as the one before has ended, at most."""
_DIGIT_PAUSE = timedelta(seconds=5)
_IN_FLOW = "voipbin.activeflow."


class Timer(StrEnum):
    """An activeflow's timers."""

    LASTS = "lasts"  # the action, as long as it says
    DIGITS = "digits"  # none was typed for so long
    GO_ON = "go_on"  # with the list, in a unit of its own
    FETCH = "fetch"  # the actions that are to come next were not told


class Digits(msgspec.Struct, frozen=True):
    """Digits are awaited: so many, or up to that key, or until nobody typed for so long."""

    length: int
    key: str
    pause: timedelta

    def are_all(self, typed: str) -> bool:
        """Whether nothing more is awaited."""
        return (0 < self.length <= len(typed)) or (self.key != "" and typed.endswith(self.key))


class ActiveflowState(msgspec.Struct, frozen=True, kw_only=True):
    """An activeflow. `turn` counts the actions that were begun; `known` are the system's variables.

    `switch` is where its call is, "" without one. `complete_count`: it runs as that many before it, in a row, ended.

    `is_halted`: nothing new is begun. `is_left`: the present action is over, and among the executed ones. `digits` are
    awaited by the present action; `has_fresh_digits`: what was typed was not used up by an action yet, so that more is
    added to it. `unit_at` and `unit_turns`: how many actions were begun at that very moment.
    """

    activeflow: Activeflow
    execution: Execution
    known: dict[str, str] = {}
    switch: str = ""
    complete_count: int = 0
    call_status: str = ""
    turn: int = 0
    is_halted: bool = False
    is_left: bool = True
    digits: Digits | None = None
    has_fresh_digits: bool = False
    unit_at: datetime | None = None
    unit_turns: int = 0
    executed_bytes: int = 0

    @property
    def has_call(self) -> bool:
        """Whether it runs beside a call."""
        return self.switch != ""


class _Draft(Draft[ActiveflowState]):
    def show(self, **fields: object) -> None:
        """Other values in the public shape."""
        self.change(activeflow=replace(self.state.activeflow, tm_update=rfc3339(self.now), **fields))

    def tell_customer(self, event_type: str) -> None:
        shown = self.state.activeflow
        self.tell_of(event_type, KIND, shown, shown.id)

    def tell_call(self, told: call.Begin | call.FlowEnded) -> None:
        if self.state.has_call:
            self.tells.append(Tell(call.KIND, self.state.activeflow.reference_id, told))

    def stop_waiting(self) -> None:
        """Nothing of the present action is waited for any more."""
        self.change(digits=None)
        self.timers.update({Timer.LASTS: None, Timer.DIGITS: None, Timer.GO_ON: None, Timer.FETCH: None})

    def executed(self, steps: Sequence[Action]) -> None:
        """These are behind it as well."""
        # Every event carries them: they are bounded by what they take, too.
        done = deque(self.state.activeflow.executed_actions)
        count_bytes = self.state.executed_bytes
        for step in steps[-_MAX_EXECUTED:]:
            done.append(step)
            count_bytes += _size(step)
            while len(done) > _MAX_EXECUTED or count_bytes > _MAX_EXECUTED_BYTES:
                count_bytes -= _size(done.popleft())
        self.change(activeflow=replace(self.state.activeflow, executed_actions=list(done)), executed_bytes=count_bytes)


def _size(action: Action) -> int:
    return len(msgspec.json.encode(action))


def decide(state: ActiveflowState | None, told: Input, now: datetime) -> Step[ActiveflowState]:
    """What an activeflow becomes of an input, and what that causes."""
    if state is None:
        assert isinstance(told, Start)
        return _started(told, now)
    draft = _Draft(state, now)
    match told:
        case Found(lookup=lookup, ids=ids) if is_final(state):
            _complete(draft, lookup, ids)
        case CallEnded():
            _end(draft)
        case Delete():
            _delete(draft)
        case Halt():
            draft.change(is_halted=True)
            draft.stop_waiting()
        case StopAsked() if not state.is_halted:
            _finish(draft)
        case Start() | StopAsked():
            pass
        case _ if state.is_halted:
            pass
        case Ended(command=WebRequest(turn=turn), outcome=outcome) if turn == state.turn:
            _answered(draft, outcome)
        case Ended():
            pass
        case _:
            _run(draft, told)
    return draft.step()


def _run(draft: _Draft, told: Go | ActionEnded | Listening | Typed | Fetched | Found | Due) -> None:
    match told:
        case Go(call_status=call_status):
            if draft.state.turn == 0:
                draft.change(call_status=call_status)
                _go_on(draft)
        case ActionEnded() | Listening() | Fetched():
            if told.turn == draft.state.turn:
                _take_turn(draft, told)
        case Typed(digit=digit):
            _typed(draft, digit)
        case Found(lookup=lookup, ids=ids):
            _found(draft, lookup, ids)
        case Due(name=Timer.DIGITS):
            _use_digits(draft)
        case Due(name=Timer.FETCH):
            _fail(draft, "The actions that were to come next could not be read.")
        case Due():
            _go_on(draft)
        case _:
            assert_never(told)


def _take_turn(draft: _Draft, told: ActionEnded | Listening | Fetched) -> None:
    """What is said of the present action."""
    match told:
        case ActionEnded(call_status=call_status, error=error):
            draft.change(call_status=call_status)
            _go_on(draft, error)
        case Listening(call_status=call_status):
            draft.change(call_status=call_status)
            _listen(draft)
        case Fetched(actions=actions):
            _push(draft, actions)
        case _:
            assert_never(told)


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


def _webhook_of(shown: Activeflow) -> OwnWebhook | None:
    return OwnWebhook(shown.id, shown.webhook_uri, shown.webhook_method) if shown.webhook_uri else None


ACTIVEFLOW: Noun[ActiveflowState] = Noun(
    kind=KIND,
    state_type=ActiveflowState,
    decide=decide,
    is_final=is_final,
    broken=broken,
    customer_of=lambda state: state.activeflow.customer_id,
    creates=(Start,),
    indexes={RUNNING: lambda state: () if state.has_call else (Entry(state.activeflow.customer_id),)},
    is_hidden=lambda state: state.activeflow.tm_delete is not None,
    waits_for=lambda state: state.switch,
    own_webhook=lambda state: _webhook_of(state.activeflow),
)
"""The activeflow in the registry."""


def _started(told: Start, now: datetime) -> Step[ActiveflowState]:
    shown = Activeflow(
        id=told.id,
        customer_id=told.customer_id,
        flow_id=told.flow_id,
        status="running",
        reference_type="api" if told.call_id == NIL_UUID else "call",
        reference_id=told.call_id,
        reference_activeflow_id=told.reference_activeflow_id,
        on_complete_flow_id=told.on_complete_flow_id,
        webhook_uri=told.webhook_uri,
        webhook_method=told.webhook_method,
        current_action=NO_ACTION,
        executed_actions=[],
        tm_create=rfc3339(now),
    )
    state = ActiveflowState(
        activeflow=shown,
        execution=started(told.actions, told.variables),
        known=dict(told.known),
        switch=told.switch,
        complete_count=told.complete_count,
    )
    draft = _Draft(state, now)
    draft.tell_customer("activeflow_created")
    if told.is_asked:
        draft.lookup = Lookup(KIND, RUNNING, shown.customer_id, MAX_RUNNING + 1)
    elif not state.has_call:
        _go_on(draft)
    return draft.step()


def _go_on(draft: _Draft, error: str = "") -> None:
    """The present action is over; begin the next one."""
    draft.stop_waiting()
    state = draft.state
    if error:
        draft.show(current_action=replace(state.activeflow.current_action, error=error))
    if state.unit_at == draft.now and state.unit_turns >= _MAX_TURNS_A_UNIT:
        draft.change(unit_at=None)
        draft.timers[Timer.GO_ON] = draft.now
        return
    moved = advance(draft.state.execution, _known(draft.state, draft.now))
    _leave(draft)
    draft.executed(moved.steps)
    draft.change(execution=moved.execution)
    if isinstance(moved, Begun):
        _begin(draft, moved)
        return
    if moved.error:
        _blame(draft, moved.error)
    _finish(draft)


def _known(state: ActiveflowState, now: datetime) -> Known:
    shown = state.activeflow
    own = {
        f"{_IN_FLOW}id": shown.id,
        f"{_IN_FLOW}flow_id": shown.flow_id,
        f"{_IN_FLOW}reference_type": shown.reference_type,
        f"{_IN_FLOW}reference_id": shown.reference_id,
        f"{_IN_FLOW}reference_activeflow_id": shown.reference_activeflow_id,
        f"{_IN_FLOW}complete_count": str(state.complete_count),
    }
    return Known({**state.known, **own}, state.call_status if state.has_call else "", now)


def _leave(draft: _Draft) -> None:
    """The present action is behind it, once."""
    if not draft.state.is_left:
        draft.executed([draft.state.activeflow.current_action])
        draft.change(is_left=True)


def _blame(draft: _Draft, error: str) -> None:
    """The last action says why the flow ended, if none does."""
    *before, last = draft.state.activeflow.executed_actions or [NO_ACTION]
    if not last.error and last.type:
        executed = [*before, replace(last, error=error)]
        draft.change(activeflow=replace(draft.state.activeflow, executed_actions=executed))


def _begin(draft: _Draft, begun: Begun) -> None:
    state = draft.state
    turn = state.turn + 1
    unit_turns = state.unit_turns + 1 if state.unit_at == draft.now else 1
    draft.change(turn=turn, is_left=False, unit_at=draft.now, unit_turns=unit_turns)
    draft.show(current_action=begun.action)
    if isinstance(begun.option, FetchFlow):
        # A step that makes no event of its own.
        draft.lookup = Lookup(
            flow.KIND, flow.BY_ID, flow.place_of(state.activeflow.customer_id, begun.option.flow_id), 1
        )
        draft.timers[Timer.FETCH] = draft.now + _FETCH_PATIENCE
        return
    draft.tell_customer("activeflow_updated")
    doing = doing_of(begun.option)
    fault = _fault_of(begun.option) if doing is not None else f"{begun.action.type} is not offered yet."
    if doing is None or fault:
        _go_on(draft, fault)
        return
    _wait_for(draft, begun.option)
    _ask(draft, begun.option)
    draft.tell_call(call.Begin(turn, begun.action, doing))


def _fault_of(option: Option) -> str:
    """Why an action cannot be begun, which is known only now that its variables are filled in; "" if it can."""
    match option:
        case Play(stream_urls=stream_urls):
            return fault_of_sounds(stream_urls)
        case WebhookSend():
            return fault_of_sending(option)
        case _:
            return ""


def _ask(draft: _Draft, option: Option) -> None:
    """Send what the action sends."""
    shown, turn = draft.state.activeflow, draft.state.turn
    if isinstance(option, Fetch | WebhookSend):
        draft.commands.append(
            WebRequest(
                id=made_id(shown.id, _FIRST_REQUEST + turn),
                activeflow_id=shown.id,
                customer_id=shown.customer_id,
                turn=turn,
                **asdict(sent_by(option, shown)),
            )
        )


def _answered(draft: _Draft, outcome: Outcome) -> None:
    """What was sent has come to something."""
    action = draft.state.activeflow.current_action
    fault = fault_of_answer(outcome)
    if action.type == "webhook_send":
        _go_on(draft, fault)
    elif fault:
        _fail(draft, fault)
    else:
        assert isinstance(outcome, Answered)
        _take_fetched(draft, outcome)


def _take_fetched(draft: _Draft, answer: Answered) -> None:
    shown, turn = draft.state.activeflow, draft.state.turn
    numbers = count(_FIRST_FETCHED + turn * MAX_FETCHED)
    try:
        actions = fetched_actions(answer, lambda: made_id(shown.id, next(numbers)))
    except InvalidError as error:
        _fail(draft, f"What was fetched is no list of actions: {error.message}")
    else:
        _push(draft, actions)


def _wait_for(draft: _Draft, option: Option) -> None:
    span = lasts(option)
    if span is not None:
        draft.timers[Timer.LASTS] = draft.now + span
    if isinstance(option, Talk):
        # What was typed before it is no answer to what it asks.
        draft.change(has_fresh_digits=False)
    if isinstance(option, DigitsReceive):
        pause = timedelta(milliseconds=option.duration) or _DIGIT_PAUSE
        draft.change(digits=Digits(option.length, option.key, pause))
        if not draft.state.has_fresh_digits:
            draft.change(execution=draft.state.execution.with_digits(""))


def _listen(draft: _Draft) -> None:
    """The call is up: what was typed before may be all that is awaited."""
    digits = draft.state.digits
    if digits is not None:
        if digits.are_all(draft.state.execution.digits):
            _use_digits(draft)
        else:
            draft.timers[Timer.DIGITS] = draft.now + digits.pause


def _typed(draft: _Draft, digit: str) -> None:
    state = draft.state
    present = state.execution.digits if state.digits is not None or state.has_fresh_digits else ""
    kept = (present + digit)[-_MAX_DIGITS:]
    draft.change(execution=state.execution.with_digits(kept), has_fresh_digits=True)
    if state.digits is not None:
        _listen(draft)


def _use_digits(draft: _Draft) -> None:
    draft.change(has_fresh_digits=False)
    _go_on(draft)


def _found(draft: _Draft, lookup: Lookup, ids: tuple[str, ...]) -> None:
    if lookup.kind == KIND:
        if len(ids) > MAX_RUNNING:
            message = f"{MAX_RUNNING} activeflows of this customer run already: stop some, or wait for their end."
            draft.refused = Refusal(429, "RATE_LIMIT_EXCEEDED", message)
        else:
            _go_on(draft)
    elif ids:
        wanted = flow.Wanted(draft.state.activeflow.id, draft.state.turn)
        draft.tells.append(Tell(flow.KIND, ids[0], wanted))
    else:
        _fail(draft, f"There is no flow {flow.id_in(lookup.key)}.")


def _push(draft: _Draft, actions: tuple[Action, ...]) -> None:
    execution = pushed(draft.state.execution, actions)
    if execution is None:
        _fail(draft, "Actions were fetched too often.")
        return
    draft.change(execution=execution)
    _go_on(draft)


def _fail(draft: _Draft, error: str) -> None:
    """The flow cannot go on without what could not be done."""
    draft.show(current_action=replace(draft.state.activeflow.current_action, error=error))
    _finish(draft)


def _finish(draft: _Draft) -> None:
    """Nothing is left to be done."""
    draft.change(is_halted=True)
    draft.stop_waiting()
    if draft.state.has_call:
        draft.tell_call(call.FlowEnded())
    else:
        _end(draft)


def _end(draft: _Draft) -> None:
    """The execution is over. `current_action` stays as it was, and is among the executed ones."""
    _leave(draft)
    draft.show(status="ended")
    draft.change(is_halted=True)
    draft.tell_customer("activeflow_deleted")
    shown = draft.state.activeflow
    is_last = draft.state.complete_count == MAX_COMPLETE_COUNT
    if shown.on_complete_flow_id == NIL_UUID or shown.tm_delete is not None or is_last:
        _forget(draft)
    else:
        draft.lookup = Lookup(flow.KIND, flow.BY_ID, flow.place_of(shown.customer_id, shown.on_complete_flow_id), 1)


def _complete(draft: _Draft, lookup: Lookup, ids: tuple[str, ...]) -> None:
    """It is over, and this flow runs next, if it is there."""
    state = draft.state
    shown = state.activeflow
    for flow_id in ids:
        start = Start(
            id=made_id(shown.id, state.complete_count),
            customer_id=shown.customer_id,
            call_id=shown.reference_id,
            actions=(),
            flow_id=flow_id,
            known=state.known,
            variables=state.execution.variables,
            reference_activeflow_id=shown.id,
            complete_count=state.complete_count + 1,
        )
        draft.tells.append(Tell(lookup.kind, flow_id, flow.RunNext(start)))
    _forget(draft)


def _forget(draft: _Draft) -> None:
    """What is over needs its actions no more, and its row can only become smaller: its end can always be kept."""
    draft.change(execution=Execution(stack=()), known={})


def _delete(draft: _Draft) -> None:
    """One that runs ends, and its call with it; it is hidden from then on."""
    if draft.state.activeflow.tm_delete is not None:
        draft.refused = missing(KIND, draft.state.activeflow.id)
        return
    draft.change(activeflow=replace(draft.state.activeflow, tm_delete=rfc3339(draft.now)))
    if not is_final(draft.state) and not draft.state.is_halted:
        _finish(draft)
