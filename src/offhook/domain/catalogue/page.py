"""The reference page of all events, `docs/reference/events.md`, written from the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from offhook.domain.catalogue import EVENT_TYPES, EventType

_OPENING = """\
# Events

<!-- Written by `python -m offhook.domain.catalogue`; a test compares. Change the catalogue, not this page. -->

Every event is `{"type": "...", "data": {...}}`. `data` is the resource as the REST API shows it. Every field is always
there: a time that has not come is null, a UUID without a value is `00000000-0000-0000-0000-000000000000`, text and
lists may be empty. Times are RFC 3339 with `Z`. New fields may be added; ignore what you do not know.

`GET /v1.0/event_types` gives the same catalogue as JSON, with a JSON Schema (draft 2020-12) of each event.
`offhook trigger TYPE` sends you the sample below as a real, signed webhook, `offhook trigger call` a whole call.

The subject, in the header `offhook-subject`, names what an event is about; events of one subject arrive in order.
"""
_SHARED = ("Address", "Action", "Target")


def reference_page() -> str:
    """The whole page as Markdown, ending in a newline; the same catalogue gives the same text."""
    parts = [_OPENING, _index(), *_shared_objects()]
    for _, members in groupby(EVENT_TYPES.values(), key=lambda each: each.family):
        parts.extend(_family(list(members)))
    return "\n".join(parts)


def _index() -> str:
    lines = ["| Event | Sent when |", "|---|---|"]
    lines += [f"| [`{each.name}`](#{each.name}) | {each.description} |" for each in EVENT_TYPES.values()]
    return "\n".join(lines) + "\n"


def _shared_objects() -> Iterable[str]:
    yield "## Objects inside others\n"
    definitions = {name: shape for each in EVENT_TYPES.values() for name, shape in each.schema["$defs"].items()}
    for name in _SHARED:
        yield f"### {name}\n\n{definitions[name]['description']}\n\n{_fields(definitions[name])}"


def _family(members: list[EventType]) -> Iterable[str]:
    first = members[0]
    shape = first.schema["$defs"][first.shape.__name__]
    subject = f"Subject: `{first.resource}/<{first.id_field}>`."
    yield f"## {first.family}\n\n{shape['description']} {subject}\n\n{_fields(shape)}"
    for each in members:
        yield f"### {each.name}\n\n{each.description}\n\n```json\n{json.dumps(each.sample, indent=2)}\n```\n"


def _fields(shape: Mapping[str, Any]) -> str:
    lines = ["| Field | Type | Meaning |", "|---|---|---|"]
    for name, field in shape["properties"].items():
        lines.append(f"| {name} | {_type(field)} | {_meaning(field)} |")
    return "\n".join(lines) + "\n"


def _type(field: Mapping[str, Any]) -> str:
    match field:
        case {"anyOf": [*choices]}:
            return " or ".join(_type(choice) for choice in choices)
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"format": "uuid"}:
            return "UUID"
        case {"format": "date-time"}:
            return "time"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"enum": _}:
            return "text"
        case {"type": str(name)}:
            return {"string": "text", "integer": "whole number"}.get(name, name)
    raise ValueError(f"no word for {field}")


def _meaning(field: Mapping[str, Any]) -> str:
    values = ", ".join(f"`{value}`" if value else "empty" for value in field.get("enum", ()))
    description: str = field.get("description", "")
    return f"{description} One of: {values}." if values else description
