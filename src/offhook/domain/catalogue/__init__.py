"""The catalogue: every event type of the contract, section 3, with a schema and a sample of each.

A newcomer finds the fields of a resource in the module named like it; `story` holds what the samples tell.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from offhook.domain.catalogue import activeflow, call, conference, message, queue, recording, transcribe
from offhook.domain.catalogue.event_type import EventType
from offhook.domain.catalogue.script import scripted_call
from offhook.domain.catalogue.subject import IdField, subject_in
from offhook.domain.errors import InvalidError

__all__ = ["EVENT_TYPES", "EventType", "event_type", "sample", "scripted_call", "subject_of"]

EVENT_TYPES: Mapping[str, EventType] = MappingProxyType(
    {
        each.name: each
        for module in (call, message, recording, transcribe, queue, conference, activeflow)
        for each in module.EVENT_TYPES
    }
)
"""Every event type by name, families together, in the order of the contract."""

_ID_FIELDS = {each.name: IdField(each.resource, each.id_field) for each in EVENT_TYPES.values()}


def event_type(name: str) -> EventType:
    """The entry of `name`. Raises InvalidError naming `type`, with the nearest names, when there is none."""
    try:
        return EVENT_TYPES[name]
    except KeyError:
        nearest = difflib.get_close_matches(name, EVENT_TYPES, n=3)
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        raise InvalidError(f"there is no event type {name!r}{hint}", field="type") from None


def sample(name: str, /, **changes: Any) -> dict[str, Any]:
    """A realistic envelope `{"type", "data"}` of `name`, the caller's to keep; `changes` replace fields of its data.

    The values are the same every time; give `id`, `customer_id` or times of your own where it must look
    fresh. Raises InvalidError naming `type`, or `data.<field>` for an unknown field or a value against
    the schema.
    """
    entry = event_type(name)
    envelope: dict[str, Any] = copy.deepcopy(dict(entry.sample))
    for field in changes:
        if field not in envelope["data"]:
            raise InvalidError(f"{name} has no field {field!r}", field=f"data.{field}")
    envelope["data"].update(changes)
    try:
        msgspec.convert(envelope["data"], entry.shape)
    except msgspec.ValidationError as error:
        fault, _, path = str(error).partition(" - at `$")
        raise InvalidError(fault, field=f"data{path.rstrip('`')}") from None
    return envelope


def subject_of(name: str, data: Mapping[str, Any]) -> str | None:
    """The subject of an event: `call/<data.id>`; None when `name` is not in the catalogue (contract, section 7).

    Raises InvalidError naming `data.id` (`data.transcribe_id` for `transcript_created`) when it is
    missing or cannot stand in a header.
    """
    id_field = _ID_FIELDS.get(name)
    return None if id_field is None else subject_in(id_field, data)
