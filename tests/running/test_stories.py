"""Whatever happens to calls, process, database and switch: each call has its events once, and its end."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.core.test_stories import check_events
from tests.running.line import Line


def check_end(line: Line) -> None:
    """Nobody is stuck, nothing is pending, no channel is left, and nobody heard or rang anything twice."""
    events = line.database.events
    check_events(events)
    types = [type_ for type_, _, _ in events]
    assert types.count("call_hungup") == types.count("call_created") == types.count("activeflow_deleted")
    hungup = [subject for type_, subject, _ in events if type_ == "call_hungup"]
    assert len(hungup) == len(set(hungup))
    assert not line.database.rows.open
    assert line.database.timers() == []
    assert not line.asterisk.legs
    assert all(count == 1 for count in (line.asterisk.play_counts + line.asterisk.dial_counts).values())
    assert not any(result.faults for result in line.database.results)
    assert line.wire.faults == []
    lanes, timers = line.process.lanes, line.process.timers
    assert lanes.pending_count == lanes.lane_count == lanes.task_count == timers.row_count == 0


async def _tell(seed: int, count: int, fault_rate: float) -> Line:
    line = Line(Random(seed), fault_rate)
    await line.begin()
    line.caller_comes()
    await line.go_on(count)
    await line.settle()
    await line.end()
    return line


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(10, 80), st.sampled_from([0.05, 0.15, 0.3]))
def test_whatever_happens_every_call_has_its_events_once_and_its_end(seed: int, count: int, fault_rate: float) -> None:
    with capture_logs():
        line = asyncio.run(_tell(seed, count, fault_rate))
    check_end(line)


@pytest.mark.parametrize("seed", range(3))
def test_when_all_goes_well_every_call_is_answered_greeted_and_hears_itself(seed: int) -> None:
    line = asyncio.run(_tell(seed, 60, 0))
    check_end(line)
    types = [type_ for type_, _, _ in line.database.events]
    assert types.count("call_answered") == 1
    assert sum(line.asterisk.play_counts.values()) == sum(line.asterisk.dial_counts.values()) == 1
