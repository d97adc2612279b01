"""What an activeflow can be told, beside what is due."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from offhook.domain.catalogue.fields import Action, WebhookMethod
from offhook.domain.ids import NIL_UUID

KIND = "activeflow"


class Start(msgspec.Struct, frozen=True):
    """Makes an activeflow. Its actions are kept as they are now.

    Beside a call, which is on `switch`, it waits for `Go`; without one it begins at once. `call_id` is the call it is
    about, which may be over. `known` are the system's variables, `variables` those that were given with the request.
    `webhook_uri` is a further address for events that carry its id. `is_asked`: somebody wants it who can be told that
    there are too many. One that runs because another has ended says which, and is the `complete_count`th in a row.
    """

    id: str
    customer_id: str
    call_id: str
    actions: tuple[Action, ...]
    flow_id: str = NIL_UUID
    known: Mapping[str, str] = {}
    variables: Mapping[str, str] = {}
    switch: str = ""
    on_complete_flow_id: str = NIL_UUID
    reference_activeflow_id: str = NIL_UUID
    complete_count: int = 0
    is_asked: bool = False
    webhook_uri: str = ""
    webhook_method: WebhookMethod = ""


class Go(msgspec.Struct, frozen=True):
    """The call is ready for the first action. `Begin` or `FlowEnded` is told back, in the same unit."""

    call_status: str


class ActionEnded(msgspec.Struct, frozen=True):
    """The call has done what the `turn`th action asked; `error` says why it could not."""

    turn: int
    call_status: str
    error: str = ""


class Listening(msgspec.Struct, frozen=True):
    """The call is up, and what is typed from now on counts for the `turn`th action."""

    turn: int
    call_status: str


class Typed(msgspec.Struct, frozen=True):
    """The caller typed a digit."""

    digit: str


class Fetched(msgspec.Struct, frozen=True):
    """The actions that the `turn`th action asked for, to be run next."""

    turn: int
    actions: tuple[Action, ...]


class StopAsked(msgspec.Struct, frozen=True):
    """Somebody wants it to end; with it its call."""


class Halt(msgspec.Struct, frozen=True):
    """The call is being ended: nothing new is begun."""


class CallEnded(msgspec.Struct, frozen=True):
    """The call is over, and so is its activeflow."""
