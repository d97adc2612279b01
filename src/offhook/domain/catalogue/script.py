"""A whole call as it would really go: what `offhook trigger call` plays, step by step."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from offhook.domain.catalogue import call, story
from offhook.domain.catalogue.call import Call
from offhook.domain.catalogue.fields import NO_ACTION, Action
from offhook.domain.ids import NIL_UUID
from offhook.domain.times import rfc3339


class Step(NamedTuple):
    """Wait `pause_s` seconds, then publish an event of `type` with `data`."""

    pause_s: float
    type: str
    data: dict[str, Any]


_SCRIPT: tuple[tuple[float, str, dict[str, Any]], ...] = (
    (0.0, "call_created", {}),
    (0.2, "call_ringing", {"status": "ringing"}),
    (2.0, "call_answered", {"status": "progressing", "action": story.answer_action(None)}),
    (0.1, "call_updated", {"action": story.talk_action(None)}),
    (3.0, "call_updated", {"mute_direction": "in"}),
    (1.0, "call_updated", {"mute_direction": ""}),
    (2.5, "call_hungup", {"status": "hangup", "hangup_by": "remote", "hangup_reason": "normal"}),
)
_TIME_OF = {"call_ringing": "tm_ringing", "call_answered": "tm_progressing", "call_hungup": "tm_hangup"}


def scripted_call(
    *,
    call_id: str,
    customer_id: str,
    started_at: datetime,
    source: str = story.CALLER.target,
    destination: str = story.BAKERY.target,
) -> list[Step]:
    """An incoming call that is created, rings, is answered, changes and is hung up by the caller.

    One call throughout, about nine seconds long; its times are those at which the steps are due when the
    first is published at `started_at`. It belongs to no flow that exists (nil ids).
    """
    at, now = (
        started_at,
        replace(
            call.CREATED,
            id=call_id,
            customer_id=customer_id,
            flow_id=NIL_UUID,
            activeflow_id=NIL_UUID,
            source=replace(story.CALLER, target=source, target_name=""),
            destination=replace(story.BAKERY, target=destination, name=""),
            tm_create=rfc3339(started_at),
        ),
    )
    steps = []
    for pause_s, type_, changes in _SCRIPT:
        at += timedelta(seconds=pause_s)
        if changes:
            now = _changed(now, type_, changes, rfc3339(at))
        steps.append(Step(pause_s, type_, msgspec.to_builtins(now)))
    return steps


def _changed(before: Call, type_: str, changes: dict[str, Any], tm: str) -> Call:
    times = {"tm_update": tm}
    if type_ in _TIME_OF:
        times[_TIME_OF[type_]] = tm
    action: Action = changes.get("action", before.action)
    if action is not before.action and action is not NO_ACTION:
        action = replace(action, tm_execute=tm)
    return replace(before, **{**changes, **times, "action": action})
