"""What an activeflow can be told, beside what is due."""

from __future__ import annotations

import msgspec

from offhook.domain.catalogue.fields import Action

KIND = "activeflow"


class Start(msgspec.Struct, frozen=True):
    """Makes the activeflow of a call. Its actions are kept as they are now; it waits for `Go`."""

    id: str
    customer_id: str
    call_id: str
    actions: tuple[Action, ...]


class Go(msgspec.Struct, frozen=True):
    """The call is ready for the first action. `Begin` or `FlowEnded` is told back, in the same unit."""


class ActionEnded(msgspec.Struct, frozen=True):
    """The call has done what the `turn`th action asked, or could not."""

    turn: int


class Halt(msgspec.Struct, frozen=True):
    """The call is being ended: nothing new is begun."""


class CallEnded(msgspec.Struct, frozen=True):
    """The call is over, and so is its activeflow."""
