"""Why a call ended, read from where it was and what the network said (facts, section 4.1)."""

from __future__ import annotations

from offhook.domain.catalogue.call import Call
from offhook.domain.switch.commands import HangUpCause

# Q.850 causes, as Asterisk reports them (ITU-T Q.850, table 1).
_NO_CAUSE, _BUSY, _NO_ANSWER, _NO_USER_RESPONSE, _REJECTED = 0, 17, 19, 18, 21
_NORMAL_CLEARING, _ANSWERED_ELSEWHERE = 16, 26
_SIP_BUSY = (486, 600)


def hangup_reason(call: Call, cause: int = _NO_CAUSE, tech_cause: int = 0) -> str:
    """The `hangup_reason` of a call whose channel ended with this Q.850 cause and SIP status; 0 for none."""
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


def hang_up_cause(reason: str) -> HangUpCause:
    """What a caller who was not answered is told when we end the call with this reason."""
    match reason:
        case "busy":
            return HangUpCause.BUSY
        case "noanswer":
            return HangUpCause.NO_ANSWER
        case "failed":
            return HangUpCause.CONGESTION
        case _:
            return HangUpCause.NORMAL
