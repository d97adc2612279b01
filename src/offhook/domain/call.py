"""A call's life: which moves there are, what each changes, and which event it causes.

Theory of operation. A call is its public shape (`catalogue.call.Call`): what REST shows is what there is. Every input
is a function from the call and the moment to a `Step`: the call as it is then, and the event types to send. The table
`MOVES` says which statuses a status may become (facts, section 4.1); an input that would make another move changes
nothing and sends nothing, so whoever calls may tell everything it hears, late or twice. `hangup` is final, so
`call_hungup` is sent once and is the last event. Which change sends which event: contract, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from offhook.domain.address import address_of
from offhook.domain.catalogue.call import Call
from offhook.domain.catalogue.fields import NO_ACTION, Action
from offhook.domain.event import NewEvent, resource_event
from offhook.domain.ids import NIL_UUID
from offhook.domain.times import rfc3339

__all__ = ["Call", "Step"]

MOVES: Mapping[str, frozenset[str]] = {
    "dialing": frozenset({"ringing", "progressing", "terminating", "canceling", "hangup"}),
    "ringing": frozenset({"progressing", "terminating", "canceling", "hangup"}),
    "progressing": frozenset({"terminating", "hangup"}),
    "terminating": frozenset({"hangup"}),
    "canceling": frozenset({"hangup"}),
    "hangup": frozenset(),
}
"""Where a call may go from each status."""

# Q.850 causes, as Asterisk reports them (ITU-T Q.850, table 1).
_NO_CAUSE, _BUSY, _NO_ANSWER, _NO_USER_RESPONSE, _REJECTED = 0, 17, 19, 18, 21
_NORMAL_CLEARING, _ANSWERED_ELSEWHERE = 16, 26
_SIP_BUSY = (486, 600)


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
    return _move(call, "ringing", "call_ringing", now, tm_ringing=_at(call, now))


def answered(call: Call, now: datetime, action: Action | None = None) -> Step:
    """Both sides can talk. `action` is the flow's step that answered, if one did."""
    current = call.action if action is None else _executed(call, action, now)
    return _move(call, "progressing", "call_answered", now, tm_progressing=_at(call, now), action=current)


def acts(call: Call, action: Action, now: datetime) -> Step:
    """The flow comes to another action. Only an answered call is led through one."""
    if call.status != "progressing" or call.action.id == action.id:
        return Step(call)
    changed = msgspec.structs.replace(call, action=_executed(call, action, now), tm_update=_at(call, now))
    return Step(changed, ("call_updated",))


def hangs_up(call: Call, now: datetime) -> Step:
    """We want the call to end: an outgoing one that nobody answered is cancelled, any other one terminated."""
    unanswered = call.direction == "outgoing" and call.status in ("dialing", "ringing")
    return _move(call, "canceling" if unanswered else "terminating", "call_updated", now)


def gone(call: Call, now: datetime, *, cause: int = _NO_CAUSE, tech_cause: int = 0) -> Step:
    """The channel is gone. `cause` is its Q.850 hangup cause, `tech_cause` the SIP status; 0 for none."""
    return _hang_up(call, _reason(call, cause, tech_cause), now)


def lost(call: Call, now: datetime) -> Step:
    """The switch died under the call, or is out of reach for too long: nobody hung up, the call has failed.

    One that we were ending has ended as we wanted.
    """
    return _hang_up(call, _reason(call, _NO_CAUSE, 0) if _is_ending(call) else "failed", now)


def _hang_up(call: Call, reason: str, now: datetime) -> Step:
    side = "local" if _is_ending(call) else "remote"
    at = _at(call, now)
    return _move(call, "hangup", "call_hungup", now, tm_hangup=at, hangup_by=side, hangup_reason=reason)


def _is_ending(call: Call) -> bool:
    return call.status in ("terminating", "canceling")


def _move(call: Call, status: str, event_type: str, now: datetime, **changes: object) -> Step:
    if status not in MOVES[call.status]:
        return Step(call)
    moved = msgspec.structs.replace(call, status=status, tm_update=_at(call, now), **changes)
    return Step(moved, (event_type,))


def _at(call: Call, now: datetime) -> str:
    """`now`, unless the clock was set back: a call's times never run backwards."""
    return rfc3339(max(now, datetime.fromisoformat(call.tm_update or call.tm_create)))


def _executed(call: Call, action: Action, now: datetime) -> Action:
    return msgspec.structs.replace(action, tm_execute=_at(call, now))


def _reason(call: Call, cause: int, tech_cause: int) -> str:
    match call.status:
        case "canceling":
            return "cancel"
        case "progressing" | "terminating":
            # An Asterisk channel that was up and alone is destroyed with cause 0 when the caller hangs up.
            return "normal"
        case _:
            return "busy" if tech_cause in _SIP_BUSY else _unanswered_reason(call.direction, cause)


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
