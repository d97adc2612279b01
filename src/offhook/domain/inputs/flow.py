"""What a flow can be told."""

from __future__ import annotations

import msgspec

from offhook.domain.catalogue.fields import Action
from offhook.domain.inputs import activeflow

KIND = "flow"


class Make(msgspec.Struct, frozen=True):
    """Makes a flow."""

    id: str
    customer_id: str
    name: str
    detail: str
    actions: tuple[Action, ...]
    on_complete_flow_id: str


class Change(msgspec.Struct, frozen=True):
    """Other values; None leaves one as it is. What runs is not changed by it."""

    name: str | None = None
    detail: str | None = None
    actions: tuple[Action, ...] | None = None
    on_complete_flow_id: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """An activeflow wants to run its actions next: `activeflow.Fetched` is told back."""

    activeflow_id: str
    turn: int


class RunNext(msgspec.Struct, frozen=True):
    """It is what runs when another has ended: `start`, with its own actions."""

    start: activeflow.Start


BY_ID = "id"
"""The index by which a customer's flow that is there is found, under its `place_of`."""


def place_of(customer_id: str, flow_id: str) -> str:
    """Where a flow stands in the index: nobody finds another customer's."""
    return f"{customer_id}/{flow_id.lower()}"


def id_in(place: str) -> str:
    """The flow's id in a place."""
    return place.partition("/")[2]
