"""How a flow goes on from one action to the next."""

from __future__ import annotations

from collections.abc import Sequence

from offhook.domain.catalogue.fields import Action
from offhook.domain.ids import NIL_UUID


def next_place(actions: Sequence[Action], place: int) -> int | None:
    """The place in the list of the action that follows the one at `place`, -1 before the first; None at the end.

    `next_id` names it; nil is the following one. Raises LookupError for one that is not in the flow.
    """
    next_id = actions[place].next_id if place >= 0 else NIL_UUID
    if next_id == NIL_UUID:
        return place + 1 if place + 1 < len(actions) else None
    for number, action in enumerate(actions):
        if action.id == next_id:
            return number
    raise LookupError(f"the flow has no action {next_id}")
