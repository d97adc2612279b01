"""What `offhook events tail` says of an event."""

from __future__ import annotations

from typing import Any

from offhook.cli.showing.changes import Changes


def event(subject: str = "call/1", **data: Any) -> dict[str, Any]:
    return {"subject": subject, "data": {"id": "1", "tm_update": str(data), **data}}


def test_only_what_is_new_since_the_one_before_is_said() -> None:
    changes = Changes()
    assert changes.of(event(status="progressing", action={"type": "answer"}, tm_progressing=None)) == "progressing"
    assert changes.of(event(status="progressing", action={"type": "play"}, tm_progressing=None)) == "action play"
    assert changes.of(event(status="progressing", action={"type": "echo"}, tm_progressing="now")) == "action echo"
    assert changes.of(event(status="hangup", action={"type": "echo"}, tm_progressing="now", hangup_by="remote")) == (
        "hangup, hangup_by remote"
    )


def test_a_time_is_said_where_nothing_else_changed_and_lists_are_counted() -> None:
    changes = Changes()
    changes.of(event(tm_ringing=None, recording_ids=[]))
    assert changes.of(event(tm_ringing="now", recording_ids=[])) == "tm_ringing now"
    assert changes.of(event(tm_ringing="now", recording_ids=["a"])) == "recording_ids 1"


def test_subjects_do_not_mix_and_an_event_of_none_is_always_the_first() -> None:
    changes = Changes()
    changes.of(event(status="ringing"))
    assert changes.of(event("call/2", status="ringing")) == "ringing"
    assert changes.of(event("", status="x")) == "x"
    assert changes.of(event("", status="x")) == "x"
    assert changes.of({"subject": "call/1", "data": None}) == ""


def test_no_more_than_a_thousand_subjects_are_remembered() -> None:
    changes = Changes()
    for number in range(1_001):
        changes.of(event(f"call/{number}", status="ringing"))
    assert changes.of(event("call/1000", status="ringing")) == ""
    assert changes.of(event("call/0", status="ringing")) == "ringing"
