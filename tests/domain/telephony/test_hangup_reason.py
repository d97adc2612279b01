"""Why a call ended: read from where it was and what the network said."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from offhook.domain.catalogue.call import Call
from offhook.domain.telephony.hangup_reason import hangup_reason
from tests.core.calls import Calls


def call(direction: str, status: str) -> Call:
    calls = Calls()
    calls.arrive()
    made: Call = calls.call
    return replace(made, direction=direction, status=status)


@pytest.mark.parametrize(
    ("direction", "status", "cause", "tech_cause", "reason"),
    [
        # incoming, before the answer: the caller cancelled (127 / 487 is what Asterisk says), or gave up
        ("incoming", "ringing", 127, 487, "normal"),
        ("incoming", "dialing", 0, 0, "normal"),
        ("incoming", "ringing", 19, 480, "noanswer"),
        ("incoming", "ringing", 17, 486, "busy"),
        # answered: a lone channel's BYE has cause 0, a bridged one's 16
        ("incoming", "progressing", 0, 0, "normal"),
        ("incoming", "progressing", 16, 0, "normal"),
        ("outgoing", "progressing", 38, 0, "normal"),
        # we hung up
        ("incoming", "terminating", 16, 0, "normal"),
        ("incoming", "terminating", 16, 603, "normal"),
        ("outgoing", "canceling", 16, 487, "cancel"),
        ("outgoing", "terminating", 16, 0, "normal"),
        # outgoing, before the answer; what SIP's refusals become was measured
        ("outgoing", "dialing", 17, 486, "busy"),
        ("outgoing", "dialing", 21, 600, "busy"),
        ("outgoing", "dialing", 21, 603, "noanswer"),
        ("outgoing", "ringing", 19, 480, "noanswer"),
        ("outgoing", "dialing", 18, 408, "noanswer"),
        ("outgoing", "dialing", 16, 0, "normal"),
        ("outgoing", "dialing", 26, 0, "normal"),
        ("outgoing", "dialing", 1, 404, "failed"),
        ("outgoing", "dialing", 34, 503, "failed"),
        ("outgoing", "dialing", 0, 0, "dialout"),
    ],
)
def test_why_it_ended(direction: str, status: str, cause: int, tech_cause: int, reason: str) -> None:
    assert hangup_reason(call(direction, status), cause, tech_cause) == reason
