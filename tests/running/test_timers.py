"""Rows are told of what is due: once, not early, and whatever the clock does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from offhook.domain.step import Due
from offhook.running.timers import HORIZON, PERIOD
from tests.running.jobs import Make, ToDoor, note, to
from tests.running.memory import MemoryDatabase
from tests.running.outside import Outside
from tests.running.process import Process, ms, until
from tests.running.unsteady import ManualClock

Begin = Callable[..., Awaitable[Process]]


def dues(database: MemoryDatabase) -> list[Due]:
    """Every `Due` that was told, whether it counted or not, but for those of `until_the_last_is_told`."""
    told = [unit.tells[0] for unit in database.units]
    return [tell.input for tell in told if isinstance(tell.input, Due) and not tell.id.startswith("last ")]


async def until_the_last_is_told(process: Process) -> None:
    """Timers are told in order: when one that is set now is told, no earlier one is still to come."""
    database = process.database
    assert isinstance(database, MemoryDatabase)
    name = f"last {len(database.units)}"
    await process.tell(to(name, Make()))
    await process.tell(to(name, sets(bell=database.clock.now)))
    await until(lambda: "due bell" in database.notes(name), "the last one is told")


def sets(**timers: datetime | None) -> object:
    return note("x", timers=timers)


async def test_a_timer_is_told_when_it_is_due_and_once(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    at = database.clock.now + ms(30)
    await process.tell(to("a", sets(bell=at)))
    await until(lambda: database.notes("a") == ("x", "due bell"), "it is due")
    assert database.units[-1].at >= at
    await until_the_last_is_told(process)
    assert dues(database) == [Due("bell", at)]
    await until(lambda: process.timers.row_count == 0, "none is kept")


async def test_what_is_due_now_or_was_goes_at_once_and_in_order(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    now = database.clock.now
    await process.tell(to("a", sets(one=now, two=now - timedelta(days=1), later=now + timedelta(hours=1))))
    await until(lambda: len(database.notes("a")) == 3, "both are due")
    assert set(database.notes("a")) == {"x", "due one", "due two"}
    assert len(dues(database)) == 2
    assert list(database.document("a").timers) == ["later"]


async def test_several_timers_of_a_row_are_told_one_after_another(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(second=now + ms(40), first=now + ms(20), third=now + ms(60))))
    for name in ("first", "second", "third"):
        database.clock.set_forward(ms(20))
        await until(lambda: database.notes("a")[-1] == f"due {name}", "it is due")  # noqa: B023
    assert len(dues(database)) == 3


async def test_one_that_is_set_anew_counts_from_then_and_one_that_is_cancelled_is_not_told(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + ms(60), other=now + ms(60))))
    await process.tell(to("b", sets(bell=now + ms(60))))
    await process.tell(to("a", sets(bell=now + ms(120), other=None)))
    await process.tell(to("b", sets(bell=now + ms(10))))
    database.clock.set_forward(ms(10))
    await until(lambda: "due bell" in database.notes("b"), "the earlier one is due")
    database.clock.set_forward(ms(109))
    await until_the_last_is_told(process)
    assert dues(database) == [Due("bell", now + ms(10))]
    database.clock.set_forward(ms(1))
    await until(lambda: "due bell" in database.notes("a"), "the later one is due")
    assert dues(database) == [Due("bell", now + ms(10)), Due("bell", now + ms(120))]


async def test_what_is_over_has_no_timers(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + ms(30))))
    await process.tell(to("a", note("end", ends=True)))
    await process.tell(to("b", sets(bell=now + ms(40))))
    database.clock.set_forward(ms(40))
    await until(lambda: "due bell" in database.notes("b"), "another one is due")
    assert len(dues(database)) == 1
    await until(lambda: process.timers.row_count == 0, "none is kept")


async def test_what_waits_for_what_is_away_is_held_and_the_others_go(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    process.timers.hold("other")
    now = database.clock.now
    await process.tell(to("o", Make(), kind="other"))
    await process.tell(to("o", sets(bell=now), kind="other"))
    await process.tell(to("a", sets(bell=now)))
    await until(lambda: "due bell" in database.notes("a"), "the other kind goes")
    await until_the_last_is_told(process)
    assert database.notes("o", "other") == ("x",)
    process.timers.release("other")
    await until(lambda: "due bell" in database.notes("o", "other"), "it goes")
    assert len(dues(database)) == 2


async def test_what_is_due_later_than_memory_reaches_is_read_in_time(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin(timers={"horizon": ms(100), "period": ms(50)})
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + ms(300))))
    reads = process.store.read_count
    await until(lambda: process.store.read_count > reads, "it was read")
    assert process.timers.row_count == 0
    database.clock.set_forward(ms(250))
    await until(lambda: process.timers.row_count == 1, "it was read")
    assert dues(database) == []
    database.clock.set_forward(ms(50))
    await until(lambda: "due bell" in database.notes("a"), "it is due")
    assert (timedelta(minutes=10), timedelta(minutes=5)) == (HORIZON, PERIOD)


async def test_one_that_is_brought_forward_or_put_off_beyond_memory(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + timedelta(hours=1))))
    await process.tell(to("b", sets(bell=now + ms(50))))
    await process.tell(to("b", sets(bell=now + timedelta(hours=1))))
    await until(lambda: process.timers.row_count == 0, "neither is kept")
    await process.tell(to("a", sets(bell=now + ms(20))))
    database.clock.set_forward(ms(100))
    await until(lambda: "due bell" in database.notes("a"), "it is due")
    await until_the_last_is_told(process)
    assert database.notes("b") == ("x", "x")


async def test_a_start_tells_what_became_due_meanwhile(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + ms(20))), to("b", sets(bell=now + ms(60))))
    await process.kill()
    database.clock.set_forward(ms(30))
    await begin()
    await until(lambda: "due bell" in database.notes("a"), "the first is due")
    assert database.notes("b") == ("x",)
    database.clock.set_forward(ms(30))
    await until(lambda: "due bell" in database.notes("b"), "the second is due")
    assert len(dues(database)) == 2


# Not again and again


async def test_what_is_due_is_told_once_though_its_commit_takes_long(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + ms(20))))
    database.is_away = True
    database.clock.set_forward(ms(20))
    await until(lambda: process.runner.waiting_count, "it was told")
    await asyncio.sleep(0.1)  # in which it looks again, five times
    database.is_away = False
    process.store.tell_everything()
    await until(lambda: "due bell" in database.notes("a"), "it is decided")
    await until_the_last_is_told(process)
    assert len(dues(database)) == 1


async def test_a_commit_without_an_answer_loses_no_timer_and_doubles_none(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    now = database.clock.stand_still()
    database.lost_answers = 1
    await process.tell(to("a", sets(bell=now + ms(20))))
    database.clock.set_forward(ms(20))
    await until(lambda: "due bell" in database.notes("a"), "it is due")
    await process.tell(to("a", sets(bell=now + ms(40))))
    database.lost_answers = 1
    database.clock.set_forward(ms(20))
    await until(lambda: database.notes("a").count("due bell") == 2, "it is due")
    await until_the_last_is_told(process)
    assert database.notes("a").count("due bell") == 2
    assert len(dues(database)) == 3  # the last one's write was repeated


async def test_a_timer_of_which_nothing_comes_is_told_again_with_the_next_reading_only(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin(timers={"period": ms(400)})
    await process.tell(to("c", Make(is_unbreakable=True)))
    at = database.clock.now + ms(10)
    with capture_logs():
        await process.tell(to("c", note("x", timers={"raise": at})))
        for count in (1, 2, 3):
            await until(lambda: len(dues(database)) == count, "it was told")  # noqa: B023
            reads = process.store.read_count
            await until_the_last_is_told(process)
            assert len(dues(database)) <= count + process.store.read_count - reads
    assert database.document("c").timers == {"raise": at}


async def test_a_timer_that_is_set_again_to_the_time_that_it_had_is_told_again(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    await process.tell(to("a", sets(thrice=database.clock.now)))
    await until(lambda: database.notes("a") == ("x", *["due thrice"] * 3), "it was told three times")
    await until_the_last_is_told(process)
    assert len(dues(database)) == 3


@pytest.mark.parametrize("read", ["early_read", "late_read"])
async def test_a_snapshot_does_not_hide_what_was_committed_while_it_was_read(
    database: MemoryDatabase, begin: Begin, read: str
) -> None:
    process = await begin()
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + timedelta(hours=1))), to("b", sets(bell=now + ms(50))))
    setattr(process.store, read, asyncio.Event())
    process.store.tell_everything()
    await asyncio.sleep(0.01)
    await process.tell(to("a", sets(bell=now + ms(30))), to("b", sets(bell=None)))
    getattr(process.store, read).set()
    database.clock.set_forward(ms(50))
    await until(lambda: "due bell" in database.notes("a"), "it is due")
    await until_the_last_is_told(process)
    assert len(dues(database)) == 1


async def test_what_was_told_before_is_not_lost_while_nothing_can_be_read(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin(timers={"period": ms(20)})
    now = database.clock.stand_still()
    await process.tell(to("a", sets(bell=now + ms(60))))
    database.is_away = True
    await until(lambda: process.timers.is_behind, "it cannot be read")
    database.clock.set_forward(ms(60))
    await until(lambda: process.runner.waiting_count == 1, "it was told all the same")
    await asyncio.sleep(0.05)  # in which it looks again, twice
    database.is_away = False
    await until(lambda: "due bell" in database.notes("a"), "it is due")
    await until_the_last_is_told(process)
    assert len(dues(database)) == 1


# The clock


async def test_a_clock_that_is_set_forward_is_noticed(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    await process.tell(to("a", sets(bell=database.clock.now + timedelta(minutes=9))))
    await until_the_last_is_told(process)
    assert dues(database) == []
    database.clock.set_forward(timedelta(minutes=9))
    await until(lambda: "due bell" in database.notes("a"), "it is due")
    assert len(dues(database)) == 1


async def test_a_clock_that_stands_still_or_was_set_back_makes_no_storm(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    at = database.clock.stand_still() + ms(20)
    await process.tell(to("a", sets(bell=at)))
    writes = len(database.write_sizes)
    await asyncio.sleep(0.1)  # in which it looks again, five times
    await until_the_last_is_told(process)
    assert dues(database) == []
    assert len(database.write_sizes) == writes + 3  # of the last one: made, set, told
    database.clock.set_forward(ms(20))
    await until(lambda: "due bell" in database.notes("a"), "it is due")


# Many


async def test_ten_thousand_timers_are_each_told_once(database: MemoryDatabase, outside: Outside) -> None:
    database.clock = ManualClock()
    process = await Process(database, outside, ToDoor).start()
    at = database.clock.now + timedelta(seconds=30)
    for number in range(10_000):
        process.runner.tell(to(f"row {number}", Make()))
        process.runner.tell(to(f"row {number}", sets(bell=at + timedelta(microseconds=number % 1_000))))
    await process.tell(to("last", Make()))
    await until(lambda: process.timers.row_count == 10_000, "all are known")
    assert len(asyncio.all_tasks()) < 10
    database.clock.set_forward(timedelta(seconds=31))
    await until(lambda: process.timers.row_count == 0 and not process.runner.waiting_count, "all are due", 60)
    await process.tell(to("last", note("x")))
    await process.kill()
    assert Counter(dues(database)).total() == 10_000
    assert all(database.notes(f"row {number}") == ("x", "due bell") for number in range(0, 10_000, 500))


async def test_a_row_whose_timer_is_set_again_and_again_takes_no_more_room(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    for number in range(6_000):
        process.runner.tell(to("a" if number % 2 else "b", sets(bell=database.clock.now + timedelta(seconds=60))))
        if number % 500 == 0:
            await process.tell(to("c", Make()))
    await process.tell(to("a", note("x")))
    assert process.timers.place_count <= 1_010
    assert dues(database) == []


async def test_a_rule_that_raises_when_it_is_due_ends_its_row(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    await process.tell(to("a", note("x", timers={"raise": database.clock.now})))
    await until(lambda: "broken" in database.notes("a"), "it has ended")
    assert len(dues(database)) == 1
