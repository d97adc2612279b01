"""How a flow goes on: from one action to the next that takes time or acts outside, through all that only decide.

Theory of operation. An execution is a stack of lists: the flow's own, and what was fetched above it. `advance` leaves
the action it is at, walks through the internal ones (goto, branch, conditions, variables), and gives either the next
action to be carried out or the end. Nothing here runs for ever: a thousand internal steps in a row end it, an action
that acts is begun a hundred times at most, and all of them together ten thousand times.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from offhook.domain.catalogue.fields import Action
from offhook.domain.ids import NIL_UUID
from offhook.domain.times import rfc3339
from offhook.flows import conditions
from offhook.flows.options import (
    CALL_ONLY,
    Branch,
    ConditionCallDigits,
    ConditionCallStatus,
    ConditionDatetime,
    ConditionVariable,
    Empty,
    Goto,
    Option,
    Stop,
    VariableSet,
    option_of,
)
from offhook.flows.reading import FINISH_ID
from offhook.flows.variables import DIGITS, TooLongError, fault_of_setting, filled_option

MAX_INTERNAL_STEPS = 1_000
MAX_RUNS = 100
MAX_ACTING_STEPS = 10_000
MAX_PUSHED = 100

_ENDS_FLOW = frozenset(
    {"fetch", "fetch_flow", "goto", "branch", "condition_variable", "condition_datetime", "condition_call_digits",
     "condition_call_status"}
)  # fmt: skip
"""What the flow cannot go on without: if it cannot be read, the flow ends (facts, section 5)."""


class Listed(msgspec.Struct, frozen=True):
    """A list of actions and where it is at: -1 before the first."""

    actions: tuple[Action, ...]
    place: int = -1


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """Where a flow is. The last of `stack` runs. `jumps` are made by each goto since it last fell through, `runs` how
    often each action that acts was begun, by id."""

    stack: tuple[Listed, ...]
    variables: dict[str, str] = {}
    jumps: dict[str, int] = {}
    runs: dict[str, int] = {}
    pushed_count: int = 0
    acting_count: int = 0

    @property
    def digits(self) -> str:
        """What the caller typed and nobody has used up yet."""
        return self.variables.get(DIGITS, "")

    def with_digits(self, digits: str) -> Execution:
        """The same with other digits."""
        return replace(self, variables={**self.variables, DIGITS: digits})


class Known(msgspec.Struct, frozen=True):
    """What is known outside the flow: the system's variables, and the call's status, "" without a call."""

    variables: Mapping[str, str]
    call_status: str
    now: datetime


class Begun(msgspec.Struct, frozen=True):
    """`action` is to be carried out now, as `option` says with its variables filled in. `steps` were taken before."""

    execution: Execution
    steps: tuple[Action, ...]
    action: Action
    option: Option


class Over(msgspec.Struct, frozen=True):
    """The flow is at its end; `error` says why, if it was not its own."""

    execution: Execution
    steps: tuple[Action, ...]
    error: str = ""


def started(actions: tuple[Action, ...], variables: Mapping[str, str]) -> Execution:
    """Before the first of `actions`."""
    return Execution(stack=(Listed(actions),), variables=dict(variables))


def pushed(execution: Execution, actions: tuple[Action, ...]) -> Execution | None:
    """`actions` come next, before what follows the present one. None if lists were pushed too often."""
    if execution.pushed_count >= MAX_PUSHED:
        return None
    stack = (*execution.stack, Listed(actions))
    return replace(execution, stack=stack, pushed_count=execution.pushed_count + 1)


def advance(execution: Execution, known: Known) -> Begun | Over:
    """Leave the present action and go on to the next that is to be carried out."""
    walk = _Walk(execution, known)
    place = _following(walk.top)
    for _ in range(MAX_INTERNAL_STEPS + 1):
        while place is None:
            if len(walk.stack) == 1:
                return walk.over()
            walk.stack.pop()
            place = _following(walk.top)
        found = walk.come_to(place)
        if isinstance(found, Begun | Over):
            return found
        place = found.place
    return walk.over(f"more than {MAX_INTERNAL_STEPS} steps without an action that takes time")


class _Next(msgspec.Struct, frozen=True):
    """The place in the running list to go on at; None at its end."""

    place: int | None


class _Walk:
    """Lives within one `advance`."""

    def __init__(self, execution: Execution, known: Known) -> None:
        self.stack = list(execution.stack)
        self._execution = execution
        self._known = known
        self._variables = dict(execution.variables)
        self._jumps = dict(execution.jumps)
        self._steps: list[Action] = []

    @property
    def top(self) -> Listed:
        """The list that runs."""
        return self.stack[-1]

    def over(self, error: str = "") -> Over:
        """The end."""
        return Over(self._so_far(), tuple(self._steps), error)

    def come_to(self, place: int) -> Begun | Over | _Next:
        """Deal with the action at `place`."""
        self.stack[-1] = replace(self.top, place=place)
        action = replace(self.top.actions[place], tm_execute=rfc3339(self._known.now))
        if action.type in CALL_ONLY and not self._known.call_status:
            return self._skip(action, "There is no call.")
        variables = {**self._known.variables, **self._variables}
        try:
            option = option_of(action.type, filled_option(action.type, action.option, variables))
        except (msgspec.ValidationError, TooLongError) as error:
            if action.type in _ENDS_FLOW:
                return self._end(action, f"{error}.")
            return self._skip(action, f"{error}.")
        return self._take(action, option)

    def _take(self, action: Action, option: Option) -> Begun | Over | _Next:
        match option:
            case Empty():
                return self._skip(action)
            case Stop():
                return self._end(action)
            case Goto():
                return self._goto(action, option)
            case Branch():
                return self._branch(action, option)
            case ConditionVariable():
                return self._decide(action, option.false_target_id, holds=conditions.variable_holds(option))
            case ConditionDatetime():
                return self._decide(
                    action, option.false_target_id, holds=conditions.time_holds(option, self._known.now)
                )
            case ConditionCallDigits():
                holds = conditions.digits_hold(option, self._variables.get(DIGITS, ""))
                return self._decide(action, option.false_target_id, holds=holds)
            case ConditionCallStatus():
                return self._decide(action, option.false_target_id, holds=option.status == self._known.call_status)
            case VariableSet():
                return self._set(action, option)
            case _:
                return self._begin(action, option)

    def _skip(self, action: Action, error: str = "") -> _Next:
        """The action is behind us; the following one is next."""
        self._note(action, error)
        return _Next(_following(self.top))

    def _end(self, action: Action, error: str = "") -> Over:
        self._note(action, error)
        return self.over(error)

    def _note(self, action: Action, error: str = "") -> None:
        self._steps.append(replace(action, error=error) if error else action)

    def _goto(self, action: Action, option: Goto) -> Over | _Next:
        made = self._jumps.get(action.id, 0)
        if made >= option.loop_count:
            self._jumps.pop(action.id, None)
            return self._skip(action)
        self._jumps[action.id] = made + 1
        return self._jump(action, option.target_id)

    def _branch(self, action: Action, option: Branch) -> Over | _Next:
        name = option.variable or DIGITS
        value = self._variables.get(name, "") if name in self._variables else self._known.variables.get(name, "")
        self._variables.pop(name, None)
        return self._jump(action, option.target_ids.get(value, option.default_target_id))

    def _decide(self, action: Action, false_target_id: str, *, holds: bool) -> Over | _Next:
        return self._skip(action) if holds else self._jump(action, false_target_id)

    def _jump(self, action: Action, target_id: str) -> Over | _Next:
        if target_id in ("", NIL_UUID):
            return self._end(action)
        self._note(action)
        if target_id == FINISH_ID:
            return _Next(None)
        place = _place_of(self.top, target_id)
        return self.over(f"the flow has no action {target_id}") if place is None else _Next(place)

    def _set(self, action: Action, option: VariableSet) -> _Next:
        fault = fault_of_setting(self._variables, option.key, option.value)
        if not fault:
            self._variables[option.key] = option.value
        return self._skip(action, fault)

    def _begin(self, action: Action, option: Option) -> Begun | Over:
        runs = self._execution.runs.get(action.id, 0) + 1
        acting_count = self._execution.acting_count + 1
        if runs > MAX_RUNS:
            return self.over(f"the action {action.id} was begun {MAX_RUNS} times")
        if acting_count > MAX_ACTING_STEPS:
            return self.over(f"more than {MAX_ACTING_STEPS} actions were begun")
        now = replace(self._so_far(), runs={**self._execution.runs, action.id: runs}, acting_count=acting_count)
        return Begun(now, tuple(self._steps), action, option)

    def _so_far(self) -> Execution:
        return replace(self._execution, stack=tuple(self.stack), variables=self._variables, jumps=self._jumps)


def _following(listed: Listed) -> int | None:
    """The place of the action after the present one: `next_id` names it, nil is the following one."""
    if listed.place >= 0:
        next_id = listed.actions[listed.place].next_id
        if next_id == FINISH_ID:
            return None
        if next_id != NIL_UUID:
            # Checked when the flow was read; an action that is not there ends the list.
            return _place_of(listed, next_id)
    return listed.place + 1 if listed.place + 1 < len(listed.actions) else None


def _place_of(listed: Listed, action_id: str) -> int | None:
    return next((place for place, action in enumerate(listed.actions) if action.id == action_id), None)
