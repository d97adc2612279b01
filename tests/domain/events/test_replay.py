"""What may be asked to be sent again, whoever asks."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.domain.errors import InvalidError
from offhook.domain.events.replay import Replay, checked_replay

NOTHING: dict[str, Any] = {"after": None, "since": None, "until": None, "types": [], "only": "failed"}


def test_a_stretch_begins_at_a_cursor_or_at_a_moment() -> None:
    assert checked_replay(**NOTHING | {"after": "1.17", "types": ["call_hungup"]}) == Replay(
        after=17, types=("call_hungup",)
    )
    asked = {"since": "1970-01-01T00:00:01Z", "until": "1970-01-01T02:00:00+01:00", "only": "all"}
    assert checked_replay(**NOTHING | asked) == Replay(since_us=1_000_000, until_us=3_600_000_000, only="all")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "after"),
        ({"after": 1, "since": "2026-05-02T09:00:00Z"}, "after"),
        ({"after": "soon"}, "after"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-05-02T09:00:00"}, "since"),
        ({"since": "0001-01-01T00:00:00+23:00", "until": "never"}, "until"),
        ({"after": 0, "types": ["a"] * 10_000}, "types"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        checked_replay(**NOTHING | asked)
    assert refused.value.field == field
