"""One entry of the catalogue: its name, when it is sent, its JSON Schema and a sample, all from one typed value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.domain.catalogue.family import family_of
from offhook.domain.catalogue.fields import Resource

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """An event type of the contract, section 3.

    `resource` and `id_field` say what its subject is; `schema` and `sample` are of the whole envelope
    `{"type", "data"}` and are shared: copy before changing (`catalogue.sample` does).
    """

    name: str
    family: str
    description: str
    resource: str
    id_field: str
    shape: type[Resource]
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]


def define(
    name: str,
    description: str,
    sample: Resource,
    *,
    narrowed: Mapping[str, Any] | None = None,
    resource: str = "",
    id_field: str = "id",
) -> EventType:
    """The event type `name`, whose data has the shape of `sample`.

    `narrowed` holds further schemas for single fields, where this event promises more than the resource
    does (`one_of` and `IS_SET` below).
    """
    family = family_of(name)
    return EventType(
        name=name,
        family=family,
        description=description,
        resource=resource or family,
        id_field=id_field,
        shape=type(sample),
        schema=_schema(name, description, type(sample), narrowed or {}),
        sample={"type": name, "data": msgspec.to_builtins(sample)},
    )


def _schema(name: str, description: str, shape: type[Resource], narrowed: Mapping[str, Any]) -> dict[str, Any]:
    (reference,), definitions = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        # A default is a convenience of ours in making the value; on the wire every field is there.
        definition["required"] = list(definition["properties"])
        for field in definition["properties"].values():
            field.pop("default", None)
    data = {**reference, "properties": dict(narrowed)} if narrowed else reference
    return {
        "$schema": DIALECT,
        "title": name,
        "description": description,
        "type": "object",
        "properties": {"type": {"const": name}, "data": data},
        "required": ["type", "data"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def one_of(*values: str) -> dict[str, Any]:
    """The narrowed schema of a field that holds one of `values` in this event."""
    return {"enum": list(values)}


IS_SET: Mapping[str, Any] = {"type": "string"}
"""The narrowed schema of a time that has come when this event is sent."""
