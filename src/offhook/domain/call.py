"""A call's life: which moves there are, what each changes, and which event it causes.

Theory of operation. A call is its public shape (`catalogue.call.Call`): what REST shows is what there is. Every input
is a function from the call and the moment to a `Step`: the call as it is then, and the event types to send. The table
`_MOVES` says which statuses a status may become (facts, section 4.1); an input that would make another move changes
nothing and sends nothing. `hangup` is final, so `call_hungup` is sent once and is the last event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from offhook.domain.catalogue.call import Call
from offhook.domain.catalogue.fields import NO_ACTION, Action, Address
from offhook.domain.event import NewEvent, resource_event
from offhook.domain.ids import NIL_UUID
from offhook.domain.times import rfc3339

__all__ = ["Call", "Step"]

_MOVES: Mapping[str, frozenset[str]] = {
    "dialing": frozenset({"ringing", "progressing", "terminating", "canceling", "hangup"}),
    "ringing": frozenset({"progressing", "terminating", "canceling", "hangup"}),
    "progressing": frozenset({"terminating", "hangup"}),
    "terminating": frozenset({"hangup"}),
    "canceling": frozenset({"hangup"}),
    "hangup": frozenset(),
}

# Q.850 causes, as Asterisk reports them (ITU-T Q.850, table 1).
_NO_CAUSE, _BUSY, _NO_ANSWER, _NO_USER_RESPONSE, _REJECTED = 0, 17, 19, 18, 21
_NORMAL_CLEARING, _ANSWERED_ELSEWHERE = 16, 26

_NUMBER = re.compile(r"\+?[0-9]+")


class Step(msgspec.Struct, frozen=True):
    """A call after an input, and what its customer is told."""

    call: Call
    event_types: tuple[str, ...] = ()

    @property
    def events(self) -> list[NewEvent]:
        """The events to commit together with the call."""
        return [
            resource_event(
                name,
                self.call,
                customer_id=self.call.customer_id,
                subject=f"call/{self.call.id}",
                activeflow_id=self.call.activeflow_id,
            )
            for name in self.event_types
        ]


def is_open(call: Call) -> bool:
    """Whether the call is not over."""
    return call.status != "hangup"


def incoming(call_id: str, customer_id: str, *, caller: str, caller_name: str, dialled: str, now: datetime) -> Step:
    """An INVITE was received: the call exists."""
    call = Call(
        id=call_id,
        customer_id=customer_id,
        owner_type="",
        owner_id=NIL_UUID,
        flow_id=NIL_UUID,
        activeflow_id=NIL_UUID,
        type="flow",
        chained_call_ids=[],
        recording_ids=[],
        source=address_of(caller, caller_name),
        destination=address_of(dialled),
        status="dialing",
        action=NO_ACTION,
        metadata={},
        direction="incoming",
        tm_create=rfc3339(now),
        tm_update=None,
    )
    return Step(call, ("call_created",))


def rings(call: Call, now: datetime) -> Step:
    """The far end rings, or we let an incoming caller hear ringing."""
    return _move(call, "ringing", "call_ringing", now, tm_ringing=rfc3339(now))


def answered(call: Call, now: datetime) -> Step:
    """Both sides can talk."""
    return _move(call, "progressing", "call_answered", now, tm_progressing=rfc3339(now))


def acts(call: Call, action: Action, now: datetime) -> Step:
    """Another action is the current one."""
    if not is_open(call) or call.action.id == action.id:
        return Step(call)
    return Step(
        msgspec.structs.replace(call, action=action, tm_update=rfc3339(now)),
        ("call_updated",),
    )


def hangs_up(call: Call, now: datetime) -> Step:
    """We want the call to end: an outgoing one that nobody answered is cancelled, any other one terminated."""
    unanswered = call.direction == "outgoing" and call.status in ("dialing", "ringing")
    return _move(call, "canceling" if unanswered else "terminating", "call_updated", now)


def gone(call: Call, cause: int, now: datetime) -> Step:
    """The channel is gone. `cause` is its Q.850 hangup cause, 0 for none."""
    return _move(
        call,
        "hangup",
        "call_hungup",
        now,
        tm_hangup=rfc3339(now),
        hangup_by="local" if call.status in ("terminating", "canceling") else "remote",
        hangup_reason=_reason(call, cause),
    )


def lost(call: Call, now: datetime) -> Step:
    """The switch, or our sight of it, was lost and the channel with it: nobody can say who hung up, or why.

    An answered call has ended like any other; one that was never answered has failed.
    """
    step = gone(call, _NORMAL_CLEARING, now)
    if call.status in ("dialing", "ringing") and step.event_types:
        return Step(msgspec.structs.replace(step.call, hangup_reason="failed"), step.event_types)
    return step


def address_of(target: str, name: str = "") -> Address:
    """A calling address: `tel` if it looks like a number, otherwise `sip`."""
    return Address(
        type="tel" if _NUMBER.fullmatch(target) else "sip", target=target, target_name=name, name="", detail=""
    )


def _move(call: Call, status: str, event_type: str, now: datetime, **changes: object) -> Step:
    if status not in _MOVES[call.status]:
        return Step(call)
    moved = msgspec.structs.replace(call, status=status, tm_update=rfc3339(now), **changes)
    return Step(moved, (event_type,))


def _reason(call: Call, cause: int) -> str:
    match call.status:
        case "canceling":
            return "cancel"
        case "progressing" | "terminating":
            # An Asterisk channel that was up and alone is destroyed with cause 0 when the caller hangs up.
            return "normal"
        case _:
            return _unanswered_reason(call.direction, cause)


def _unanswered_reason(direction: str, cause: int) -> str:
    if cause == _BUSY:
        return "busy"
    if cause in (_NO_ANSWER, _NO_USER_RESPONSE):
        return "noanswer"
    if direction == "incoming":
        return "normal"
    if cause == _REJECTED:
        return "noanswer"
    if cause == _NO_CAUSE:
        return "dialout"
    return "normal" if cause in (_NORMAL_CLEARING, _ANSWERED_ELSEWHERE) else "failed"
