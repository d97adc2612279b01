"""What every resource does alike that is only kept, changed and deleted: flows, numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from offhook.domain.step import Refusal
from offhook.domain.times import rfc3339

R = TypeVar("R", bound=msgspec.Struct)


def changed(resource: R, given: msgspec.Struct, now: datetime) -> R:
    """With the values that are given; None leaves one as it is. What changes nothing is no change."""
    values: dict[str, Any] = {name: value for name, value in asdict(given).items() if value is not None}
    other = replace(resource, **values)
    return resource if other == resource else replace(other, tm_update=rfc3339(now))


def deleted(resource: R, now: datetime) -> R:
    """As it is once it was deleted."""
    return replace(resource, tm_delete=rfc3339(now))


def missing(kind: str, resource_id: str) -> Refusal:
    """For one that is not there, or not any more."""
    return Refusal(404, f"{kind.upper()}_NOT_FOUND", f"There is no {kind} {resource_id}.", "id")
