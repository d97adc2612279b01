"""The small built-in flow that a call runs until there are numbers and flows: answer, greet, echo until the end."""

from __future__ import annotations

import uuid

from offhook.domain.catalogue.fields import Action
from offhook.domain.ids import NIL_UUID

ANSWER, PLAY, ECHO = "answer", "play", "echo"


def answer_action(call_id: str) -> Action:
    """The first step."""
    return Action(id=_id(call_id, ANSWER), next_id=_id(call_id, PLAY), type=ANSWER, option={}, tm_execute=None)


def play_action(call_id: str, sound: str) -> Action:
    """The second step: `sound`, one of the switch's own, is heard."""
    option = {"stream_urls": [f"sound:{sound}"]}
    return Action(id=_id(call_id, PLAY), next_id=_id(call_id, ECHO), type=PLAY, option=option, tm_execute=None)


def echo_action(call_id: str) -> Action:
    """The last step: whatever the caller says comes back."""
    return Action(id=_id(call_id, ECHO), next_id=NIL_UUID, type=ECHO, option={}, tm_execute=None)


def playback_id(call_id: str) -> str:
    """The switch's name for this call's greeting: the same after a restart."""
    return f"{call_id}-greeting"


def _id(call_id: str, step: str) -> str:
    # Made from the call's own, so that a restart does not take the same step for another one.
    return str(uuid.uuid5(uuid.UUID(call_id), step))
