"""The flow that every call runs until there are numbers and flows: ring, answer, greet, echo until the end."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from offhook.domain.catalogue.fields import Action

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122, appendix C: names that are ISO OIDs


def greeting(ring_time: timedelta, sound: str) -> tuple[Action, ...]:
    """The actions: it rings for `ring_time`, then `sound`, one of the switch's own, is heard."""
    return (
        _action("sleep", {"duration": ring_time // timedelta(milliseconds=1)}),
        _action("answer", {}),
        _action("play", {"stream_urls": [f"sound:{sound}"]}),
        _action("echo", {}),
    )


def _action(name: str, option: dict[str, Any]) -> Action:
    # The same at every start, so that a restart does not take the same step for another one.
    return Action(id=str(uuid.uuid5(_NAMESPACE, f"offhook/greeting/{name}")), type=name, option=option, tm_execute=None)
