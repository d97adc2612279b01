"""A decision in the making: what a rule gathers before it becomes a `Step`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from offhook.domain.catalogue.fields import Resource
from offhook.domain.events.event import NewEvent, resource_event
from offhook.domain.step import Command, Lookup, Refusal, Step, Tell

S = TypeVar("S", bound=Any)


class Draft(Generic[S]):
    """Lives within one decision. `state` is what it has become so far, `now` the moment of deciding."""

    def __init__(self, state: S, now: datetime) -> None:
        self.state = state
        self.now = now
        self.events: list[NewEvent] = []
        self.commands: list[Command] = []
        self.timers: dict[str, datetime | None] = {}
        self.tells: list[Tell] = []
        self.lookup: Lookup | None = None
        self.refused: Refusal | None = None

    def change(self, **fields: Any) -> None:
        """Another value for some fields of the state."""
        self.state = replace(self.state, **fields)

    def tell_of(self, event_type: str, kind: str, shown: Resource, activeflow_id: str) -> None:
        """The event that a resource is as it is `shown`."""
        self.events.append(
            resource_event(
                event_type,
                shown,
                customer_id=shown.customer_id,
                subject=f"{kind}/{shown.id}",
                activeflow_id=activeflow_id,
            )
        )

    def step(self) -> Step[S]:
        """The decision."""
        return Step(
            self.state,
            tuple(self.events),
            tuple(self.commands),
            self.timers,
            tuple(self.tells),
            self.lookup,
            self.refused,
        )
