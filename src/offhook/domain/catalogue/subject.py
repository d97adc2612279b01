"""Which field of an event's data says whom it is about, and what may stand in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from offhook.domain.errors import InvalidError

# Travels in the header `offhook-subject`: visible ASCII only (RFC 9110, section 5.5), so no line can be smuggled in.
_HEADER_TEXT = re.compile(r"[\x21-\x7e]{1,200}")


class IdField(NamedTuple):
    """`resource` names the subject's kind, `field` the place of its id in the data."""

    resource: str
    field: str


def subject_in(id_field: IdField, data: Mapping[str, Any]) -> str:
    """`<resource>/<id>`. Raises InvalidError naming the field when the id is missing or unfit for a header."""
    value = data.get(id_field.field)
    if not isinstance(value, str) or _HEADER_TEXT.fullmatch(value) is None:
        raise InvalidError(
            f"data.{id_field.field} must be text of 1 to 200 visible ASCII characters without spaces",
            field=f"data.{id_field.field}",
        )
    return f"{id_field.resource}/{value}"
