"""The one story that all samples tell: a bakery's customer calls, waits in a queue, is served and recorded.

Fixed ids, numbers and times, so that samples refer to one another and the reference page never changes by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from offhook.domain.catalogue.fields import Action, Address
from offhook.domain.times import rfc3339

CUSTOMER_ID = "2b1f6f0a-7c1d-4a53-9f5e-6f3f0c9a1e01"
AGENT_ID = "5d3a0b7e-91c4-4c52-8d3b-0a7be4f61c02"
FLOW_ID = "7e94c2d1-3b5f-4e0a-a6c8-b1d20f4e7a03"
ACTIVEFLOW_ID = "91c7e5b4-20fd-4b19-8a7e-c3f51d0a6b04"
CALL_ID = "c0a8f4d2-6e1b-4d37-b952-1f8e7a3c5d05"
MESSAGE_ID = "a4e6d8c0-5b7f-4921-9c3d-e2f1b0a98706"
RECORDING_ID = "d7b5a391-4c2e-4f60-8e1d-9b0a7c6f5e07"
TRANSCRIBE_ID = "e8f0a2b4-1d3c-4e5f-a607-18293a4b5c08"
TRANSCRIPT_ID = "f1e2d3c4-b5a6-4978-8899-aabbccddee09"
QUEUE_ID = "0a9b8c7d-6e5f-4a3b-92c1-d0e1f2a3b40a"
QUEUECALL_ID = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e80b"
CONFERENCE_ID = "3c4d5e6f-7081-4923-94a5-b6c7d8e9fa0c"
CONFERENCECALL_ID = "4d5e6f70-8192-4a34-85b6-c7d8e9fa0b0d"
CONFBRIDGE_ID = "5e6f7081-92a3-4b45-96c7-d8e9fa0b1c0e"
WAIT_FLOW_ID = "6f708192-a3b4-4c56-87d8-e9fa0b1c2d0f"
TAG_ID = "708192a3-b4c5-4d67-98e9-fa0b1c2d3e10"
ANSWER_ACTION_ID = "8192a3b4-c5d6-4e78-89fa-0b1c2d3e4f11"
TALK_ACTION_ID = "92a3b4c5-d6e7-4f89-9a0b-1c2d3e4f5012"

CALLER = Address(type="tel", target="+15550100123", target_name="R. Miller")
BAKERY = Address(type="tel", target="+15550100200", name="Bakery")

_START = datetime(2026, 3, 2, 9, 0, 0, 200_000, tzinfo=UTC)


def at(seconds: float) -> str:
    """The time so many seconds into the story."""
    return rfc3339(_START + timedelta(seconds=seconds))


def answer_action(tm_execute: str | None) -> Action:
    """The first step of the bakery's flow."""
    return Action(id=ANSWER_ACTION_ID, next_id=TALK_ACTION_ID, type="answer", option={}, tm_execute=tm_execute)


def talk_action(tm_execute: str | None) -> Action:
    """The second step: a greeting."""
    option = {"text": "Good morning, this is the bakery.", "language": "en-US"}
    return Action(id=TALK_ACTION_ID, type="talk", option=option, tm_execute=tm_execute)
