"""Commands are carried out after their commit, each lane's in order, by the policy of their kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from offhook.domain.step import Absent, Done, Outcome, Policy, Refused, Unavailable, Unknown
from offhook.node.supervisor import Supervisor
from tests.running.jobs import Again, End, Look, Make, Mark, Nowhere, Tidy, ToDoor, note, to
from tests.running.memory import MemoryDatabase
from tests.running.outside import Outside
from tests.running.process import Process, ms, until

Begin = Callable[..., Awaitable[Process]]


async def until_the_last_is_asked(process: Process, outside: Outside) -> None:
    """What was ordered before this, and may go, has been asked for when this has, which has a lane of its own."""
    await process.tell(to("b", note("x", Again(id="last", place="window/last"))))
    await until(lambda: "last" in outside.asked, "the last one is asked for")


def names(*ids: str, kind: type[ToDoor] = Again, **fields: str) -> list[ToDoor]:
    return [kind(id=one, **fields) for one in ids]


# Order


async def test_a_lane_keeps_the_order_of_commits_also_across_rows(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    outside.gate("1")
    process.runner.tell(to("a", note("x", *names("1", "2"))))
    process.runner.tell(to("b", note("x", *names("3"))))
    process.runner.tell(to("a", note("x", *names("4"))))
    await until(lambda: outside.asked, "the first is asked")
    await process.tell(to("a", note("y")))
    assert outside.asked == ["1"]
    outside.gates["1"].set()
    await process.until_quiet()
    assert outside.asked == ["1", "2", "3", "4"]
    assert database.notes("a") == ("x", "x", "y", "1 done", "2 done", "4 done")
    assert process.lanes.lane_count == process.lanes.pending_count == process.lanes.task_count == 0


async def test_lanes_go_side_by_side(begin: Begin, outside: Outside) -> None:
    process = await begin()
    held = [outside.gate(str(number)) for number in range(50)]
    process.runner.tell(to("a", note("x", *(Again(id=str(n), place=f"door/{n}") for n in range(50)))))
    await until(lambda: outside.at_once == 50, "all are under way")
    assert process.lanes.task_count == 50
    for gate in held:
        gate.set()
    await process.until_quiet()
    await until(lambda: process.lanes.task_count == 0, "no task is left")


async def test_no_more_requests_than_allowed_are_with_a_carrier_at_the_same_time(
    begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.register(Again, outside, max_requests=3)
    process.runner.tell(to("a", note("x", *(Again(id=str(n), place=f"door/{n}") for n in range(50)))))
    await process.tell(to("b", note("x")))
    await process.until_quiet()
    assert outside.most_at_once == 3
    assert len(outside.done) == 50


async def test_nothing_is_carried_out_before_it_is_committed(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    database.is_away = True
    process.runner.tell(to("a", note("x", *names("1"))))
    tries = len(database.write_sizes)
    await until(lambda: len(database.write_sizes) > tries + 2, "it was tried")
    assert outside.asked == []
    database.is_away = False
    await until(lambda: outside.asked, "it is carried out")


async def test_an_end_is_told_until_it_is_committed_and_its_command_is_sent_once(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", "2", kind=Mark))))
    await until(lambda: outside.asked, "it is under way")
    database.is_away = True
    gate.set()
    tries = len(database.write_sizes)
    await until(lambda: len(database.write_sizes) > tries + 3, "it was tried")
    database.lost_answers = 2
    database.is_away = False
    await process.until_quiet()
    assert database.notes("a") == ("x", "1 done", "2 done")
    assert outside.asked == ["1", "2"]


async def test_a_lane_that_has_just_become_empty_takes_the_next_command(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1"))))
    await until(lambda: outside.asked, "it is under way")
    database.is_away = True
    process.runner.tell(to("b", note("x", *names("2"))))
    process.lanes.close("door")
    gate.set()
    await until(lambda: process.lanes.lane_count == 0, "the lane is empty")
    # The next command and the end of the last one are committed together.
    database.is_away = False
    await process.tell(to("a", note("y")))
    process.lanes.open("door")
    await process.until_quiet()
    assert outside.asked == ["1", "2"]


# AGAIN


async def test_what_is_unavailable_is_repeated_until_patience_is_over(
    database: MemoryDatabase, begin: Begin, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a tenth of a second may be over before the second try.
    monkeypatch.setattr(Again, "patience", ms(1_000))
    process = await begin()
    outside.answers["1"] = [Unavailable()] * 3
    process.runner.tell(to("a", note("x", *names("1"))))
    await process.tell(to("a", note("y")))
    await process.until_quiet()
    assert outside.asked == ["1"] * 4
    outside.is_away = True
    began_s = asyncio.get_running_loop().time()
    process.runner.tell(to("a", note("x", *names("2"))))
    await process.tell(to("a", note("y")))
    await process.until_quiet()
    took_s = asyncio.get_running_loop().time() - began_s
    assert database.notes("a")[-1] == "2 unavailable"
    assert took_s >= 1
    # 2, 4, 8, 16, 20, 20 ... ms between them.
    assert 4 <= outside.asked.count("2") <= 60


@pytest.mark.parametrize("outcome", [Absent("channel"), Refused("no"), Unknown(), Done()])
async def test_any_other_outcome_is_told_as_it_is(
    database: MemoryDatabase, begin: Begin, outside: Outside, outcome: Outcome
) -> None:
    process = await begin()
    outside.answers["1"] = [outcome]
    await process.tell(to("a", note("x", *names("1", "2"))))
    await process.until_quiet()
    assert database.notes("a") == ("x", f"1 {type(outcome).__name__.lower()}", "2 done")


async def test_a_hang_up_is_repeated_without_end(database: MemoryDatabase, begin: Begin, outside: Outside) -> None:
    process = await begin()
    outside.is_away = True
    await process.tell(to("a", note("x", *names("1", kind=End))))
    await until(lambda: len(outside.asked) > 12, "it is repeated")
    outside.is_away = False
    await process.until_quiet()
    assert database.notes("a") == ("x", "1 done")


# Standing still


async def test_a_lane_that_stands_still_sends_nothing_and_no_deadline_runs(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.close("door")
    gate = outside.gate("w")
    process.runner.tell(to("a", note("x", *names("1"), Again(id="w", place="window/1"))))
    await until(lambda: outside.asked == ["w"], "the other lane goes")
    await asyncio.sleep(0.15)  # longer than its patience
    await until_the_last_is_asked(process, outside)
    assert outside.asked == ["w", "last"]
    assert process.lanes.task_count == 1
    gate.set()
    outside.is_away = True
    process.lanes.open("door")
    await until(lambda: "1" in outside.asked, "it goes")
    process.lanes.close("door")
    await asyncio.sleep(0.15)  # longer than its patience
    await until(lambda: process.lanes.task_count == 0, "nobody waits")
    outside.is_away = False
    process.lanes.open("door")
    await process.until_quiet()
    assert database.notes("a")[-1] == "1 done"
    assert "1 unavailable" not in database.notes("a")


async def test_a_request_that_is_lost_with_the_switch_is_made_again_when_the_lane_goes(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    outside.answers["1"] = [Unavailable()]
    await process.tell(to("a", note("x", *names("1"))))
    await until(lambda: outside.asked, "it is under way")
    process.lanes.close("door")
    # Longer than its patience.
    await asyncio.sleep(0.12)
    gate.set()
    await until(lambda: process.lanes.task_count == 0, "the lane stands still")
    assert database.notes("a") == ("x",)
    process.lanes.open("door")
    await process.until_quiet()
    assert database.notes("a") == ("x", "1 done")


async def test_a_name_that_only_begins_alike_is_another(begin: Begin, outside: Outside) -> None:
    process = await begin()
    process.lanes.close("doo")
    await process.tell(to("a", note("x", *names("1"))))
    await process.until_quiet()
    assert outside.asked == ["1"]


# Superseding


async def test_a_hang_up_supersedes_what_waits_and_what_waits_between_two_tries(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin(lanes={"first_pause": ms(10_000), "longest_pause": ms(10_000)})
    outside.is_away = True
    waiting = (Again(id="1"), Mark(id="2"), Look(id="3"), Tidy(id="4"), Again(id="5"))
    await process.tell(to("a", note("x", *waiting)))
    await until(lambda: outside.asked == ["1"], "the first waits between two tries")
    outside.is_away = False
    outside.gate("4")
    process.runner.tell(to("b", note("x", End(id="6"), Again(id="7"))))
    await until(lambda: "4" in outside.asked, "the one that tidies is done")
    assert outside.asked == ["1", "4"]
    outside.gates["4"].set()
    await process.until_quiet()
    assert database.notes("a") == ("x", "1 superseded", "2 superseded", "3 superseded", "4 done", "5 superseded")
    assert outside.asked == ["1", "4", "6", "7"]
    assert database.notes("b") == ("x", "6 done", "7 done")
    # All that it made pointless was told before.
    told = [unit.tells[0].input.command.id for unit in database.units if hasattr(unit.tells[0].input, "outcome")]
    assert told == ["1", "2", "3", "4", "5", "6", "7"]


async def test_what_is_under_way_is_waited_for_and_its_end_is_told(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", "2"))))
    await until(lambda: outside.asked, "it is under way")
    await process.tell(to("a", note("y", End(id="3"))))
    await until_the_last_is_asked(process, outside)
    assert outside.asked == ["1", "last"]
    gate.set()
    await process.until_quiet()
    assert database.notes("a") == ("x", "y", "1 done", "2 superseded", "3 done")


@pytest.mark.parametrize("was_done", [True, False])
@pytest.mark.parametrize("kind", [Mark, Look])
async def test_what_was_begun_and_is_superseded_is_looked_for_once(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor], was_done: bool
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", kind=kind))))
    await until(lambda: outside.asked, "it is under way")
    await process.tell(to("a", note("y", End(id="2"))))
    if was_done:
        outside.unanswered.add("1")
    else:
        outside.answers["1"] = [Unavailable()]
        outside.answers["1?"] = [Unavailable()]
    gate.set()
    await process.until_quiet()
    assert database.notes("a") == ("x", "y", "1 done" if was_done else "1 unknown", "2 done")
    assert outside.asked == ["1", "1?", "2"]


async def test_what_was_repeated_and_is_superseded_in_mid_request_is_not_tried_again(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    outside.answers["1"] = [Unavailable()]
    await process.tell(to("a", note("x", *names("1"))))
    await until(lambda: outside.asked, "it is under way")
    await process.tell(to("a", note("y", End(id="2"))))
    gate.set()
    await process.until_quiet()
    assert outside.asked == ["1", "2"]
    assert database.notes("a") == ("x", "y", "1 superseded", "2 done")


async def test_what_is_pointless_is_told_so_also_while_its_lane_stands_still(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.close("door")
    await process.tell(to("a", note("x", *names("1", "2"), End(id="3"))))
    await until(lambda: database.notes("a") == ("x", "1 superseded", "2 superseded"), "both are told")
    assert outside.asked == []
    process.lanes.open("door")
    await process.until_quiet()
    assert outside.asked == ["3"]


async def test_what_was_marked_and_not_sent_is_superseded(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.register(Mark, outside, max_requests=1)
    gate = outside.gate("0")
    await process.tell(to("b", note("x", Mark(id="0", place="door/0"))))
    await until(lambda: outside.asked == ["0"], "the only place is taken")
    await process.tell(to("a", note("x", *names("1", kind=Mark))))
    await until(lambda: database.document("a").pending[0].begun, "it is marked")
    await process.tell(to("a", note("y", End(id="2"))))
    gate.set()
    await process.until_quiet()
    assert outside.asked == ["0", "2"]
    assert database.notes("a") == ("x", "y", "1 superseded", "2 done")


# MARK and LOOK


async def test_a_mark_is_committed_before_anything_is_sent(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", kind=Mark))))
    await until(lambda: outside.asked, "it is under way")
    assert database.document("a").pending[0].begun
    gate.set()
    await process.until_quiet()
    assert outside.asked == ["1"]


@pytest.mark.parametrize(
    ("found", "told"),
    [(Done(), "done"), (Absent("channel"), "absent"), (Unknown(), "unknown"), (Refused(""), "unknown")],
)
@pytest.mark.parametrize("kind", [Mark, Look])
async def test_what_may_have_been_sent_is_looked_for_and_never_sent_again(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor], found: Outcome, told: str
) -> None:
    process = await begin()
    outside.answers = {"1": [Unavailable()], "1?": [Unavailable(), Unavailable(), found]}
    await process.tell(to("a", note("x", *names("1", kind=kind))))
    await process.until_quiet()
    assert outside.asked == ["1", "1?", "1?", "1?"]
    assert database.notes("a") == ("x", f"1 {told}")


@pytest.mark.parametrize("kind", [Mark, Look])
async def test_what_was_certainly_not_done_is_tried_again(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor]
) -> None:
    process = await begin()
    outside.answers = {"1": [Unavailable(is_undone=True), Unavailable(is_undone=True), Done()]}
    await process.tell(to("a", note("x", *names("1", kind=kind))))
    await process.until_quiet()
    assert outside.asked == ["1", "1", "1"]
    assert database.notes("a") == ("x", "1 done")


@pytest.mark.parametrize("kind", [Mark, Look])
async def test_what_cannot_be_looked_for_is_unknown_when_patience_is_over(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor]
) -> None:
    process = await begin()
    outside.is_away = True
    await process.tell(to("a", note("x", *names("1", kind=kind))))
    await process.until_quiet()
    assert database.notes("a") == ("x", "1 unknown")
    assert outside.asked.count("1") == 1


async def test_what_cannot_be_marked_is_not_sent(database: MemoryDatabase, begin: Begin, outside: Outside) -> None:
    process = await begin()
    process.lanes.close("door")
    await process.tell(to("a", note("x", *names("1", kind=Mark))))
    database.spoil("job", "a")
    with capture_logs() as logs:
        process.lanes.open("door")
        await until(lambda: [one for one in logs if one["event"] == "running.not_marked"], "it is logged")
    assert outside.asked == []


# Kills


async def _killed(process: Process, begin: Begin) -> Process:
    await process.kill()
    return await begin()


@pytest.mark.parametrize("kind", [Again, Look, Mark])
async def test_killed_before_anything_was_done(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor]
) -> None:
    process = await begin()
    process.lanes.close("door")
    await process.tell(to("a", note("x", *names("1", "2", kind=kind))))
    process = await _killed(process, begin)
    await process.until_quiet()
    if kind is Look:
        # Nobody knows whether the process that was killed had sent it.
        assert outside.asked == ["1?", "2?"]
        assert database.notes("a") == ("x", "1 unknown", "2 unknown")
    else:
        assert outside.asked == ["1", "2"]
        assert database.notes("a") == ("x", "1 done", "2 done")


async def test_killed_after_the_mark_and_before_sending(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.register(Mark, outside, max_requests=1)
    outside.gate("0")
    await process.tell(to("b", note("x", Mark(id="0", place="door/0"))))
    await until(lambda: outside.asked == ["0"], "the only place is taken")
    await process.tell(to("a", note("x", *names("1", kind=Mark))))
    await until(lambda: database.document("a").pending[0].begun, "it is marked")
    process = await _killed(process, begin)
    await process.until_quiet()
    assert "1" not in outside.asked
    assert database.notes("a") == ("x", "1 unknown")
    assert database.notes("b") == ("x", "0 unknown")


@pytest.mark.parametrize(
    ("kind", "asked"), [(Again, ["1", "1"]), (Look, ["1", "1?"]), (Mark, ["1", "1?"])], ids=["again", "look", "mark"]
)
async def test_killed_after_it_was_done_and_before_its_end_was_committed(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor], asked: list[str]
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", kind=kind))))
    await until(lambda: outside.asked, "it is under way")
    database.is_away = True
    gate.set()
    await until(lambda: outside.done["1"] and not process.lanes.lane_count, "it is done")
    await process.kill()
    database.is_away = False
    process = await begin()
    await process.until_quiet()
    assert outside.asked == asked
    assert database.notes("a") == ("x", "1 done")


async def test_killed_while_a_request_is_under_way(database: MemoryDatabase, begin: Begin, outside: Outside) -> None:
    process = await begin()
    outside.gate("1")
    await process.tell(to("a", note("x", *names("1", kind=Mark), *names("2"), End(id="3"))))
    # The hang-up was committed with them.
    await process.until_quiet()
    assert outside.asked == ["3"]
    outside.asked.clear()
    await process.tell(to("b", note("x", *names("1", kind=Mark), *names("2"))))
    await until(lambda: outside.asked, "it is under way")
    process = await _killed(process, begin)
    await process.until_quiet()
    assert outside.asked == ["1", "1?", "2"]
    assert database.notes("b") == ("x", "1 unknown", "2 done")


async def test_a_hang_up_supersedes_what_is_older_than_the_process(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.close("door")
    outside.gate("m")
    await process.tell(to("b", note("x", Mark(id="m", place="window/1"), Again(id="n", place="window/1"))))
    await until(lambda: outside.asked == ["m"], "one is begun")
    await process.tell(to("a", note("x", *names("1"), Tidy(id="2"))))
    await process.kill()
    outside.asked.clear()
    process = await begin()
    process.lanes.close("window")
    await until(lambda: not database.document("a").pending, "the other lane has ended")
    assert database.notes("a") == ("x", "1 done", "2 done")
    await process.tell(to("b", note("y", End(id="o", place="window/1"))))
    process.lanes.open("window")
    await process.until_quiet()
    assert database.notes("b") == ("x", "y", "m unknown", "n superseded", "o done")
    assert outside.asked[2:] == ["m?", "o"]


# Told twice, and reading again


async def test_what_is_read_again_is_not_carried_out_again(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", "2", kind=Mark))))
    await until(lambda: outside.asked, "one is under way, one waits")
    for _ in range(3):
        process.store.tell_everything()
        reads = process.store.read_count
        await until(lambda: process.store.read_count >= reads + 1, "it was read")  # noqa: B023
    gate.set()
    await process.until_quiet()
    assert outside.asked == ["1", "2"]


async def test_what_has_ended_while_a_snapshot_was_read_is_not_taken_up_again(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", "2"))))
    await until(lambda: outside.asked, "it is under way")
    process.store.early_read = asyncio.Event()
    process.store.tell_everything()
    await asyncio.sleep(0.01)
    # The snapshot has it pending. It ends, which is committed, before the snapshot is there.
    gate.set()
    await until(lambda: "1 done" in database.notes("a"), "it has ended")
    process.store.early_read.set()
    await process.until_quiet()
    assert outside.asked == ["1", "2"]


async def test_what_a_commit_without_an_answer_ordered_is_found_and_keeps_its_place(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    database.lost_answers = 1
    process.runner.tell(to("a", note("x", *names("1", kind=Look))))
    await asyncio.sleep(0)
    process.runner.tell(to("b", note("x", *names("2", kind=Look))))
    await process.tell(to("b", note("y")))
    await process.until_quiet()
    assert outside.asked == ["1", "2"]


@pytest.mark.parametrize("read", ["early_read", "late_read"])
async def test_a_commit_while_the_first_snapshot_is_read_is_told_from_what_is_older(
    database: MemoryDatabase, begin: Begin, outside: Outside, read: str
) -> None:
    process = await begin()
    process.lanes.close("door")
    await process.tell(to("a", note("x", *names("1", kind=Look))))
    await process.kill()
    process = Process(database, outside, ToDoor)
    setattr(process.store, read, asyncio.Event())
    await process.start()
    await asyncio.sleep(0.01)
    await process.tell(to("a", note("y", *names("2", kind=Look))))
    outside.asked.append("the snapshot")
    getattr(process.store, read).set()
    await process.until_quiet()
    await process.kill()
    assert outside.asked == ["the snapshot", "1?", "2"]


async def test_nothing_is_sent_while_what_was_committed_is_not_known(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.store.early_read = asyncio.Event()
    process.store.tell_everything()
    await process.tell(to("a", note("x", *names("1"))))
    await process.tell(to("b", note("x")))
    outside.asked.append("the snapshot")
    process.store.early_read.set()
    await process.until_quiet()
    assert outside.asked == ["the snapshot", "1"]


async def test_the_start_waits_until_rows_can_be_read(database: MemoryDatabase, begin: Begin, outside: Outside) -> None:
    process = await begin()
    process.lanes.close("door")
    await process.tell(to("a", note("x", *names("1"))))
    await process.kill()
    database.is_away = True
    process = await begin()
    await asyncio.sleep(0.02)
    assert process.lanes.is_behind
    database.is_away = False
    await process.until_quiet()
    assert outside.asked == ["1"]


# Faults


@pytest.mark.parametrize(("kind", "told"), [(Again, "refused"), (Look, "unknown"), (Mark, "unknown")])
async def test_a_carrier_that_raises_ends_its_command_and_no_lane(
    database: MemoryDatabase, begin: Begin, outside: Outside, kind: type[ToDoor], told: str
) -> None:
    process = await begin()
    outside.answers["1"] = [ZeroDivisionError("division by zero")]
    await process.tell(to("a", note("x", *names("1", kind=kind), *names("2"))))
    await process.until_quiet()
    assert database.notes("a") == ("x", f"1 {told}", "2 done")
    assert outside.asked == ["1", "2"]


async def test_a_carrier_that_hangs_is_given_up_and_the_lane_goes_on(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin(lanes={"longest_request": ms(30)})
    outside.gate("1")
    outside.gate("2")
    await process.tell(to("a", note("x", *names("1", kind=Mark), *names("2", "3"))))
    await process.until_quiet()
    assert database.notes("a") == ("x", "1 unknown", "2 unavailable", "3 done")


async def test_what_nobody_carries_out_is_refused(database: MemoryDatabase, outside: Outside) -> None:
    process = Process(database, outside, Again)
    await process.start()
    await process.tell(to("a", Make()))
    await process.tell(to("a", note("x", *names("1", kind=Mark), *names("2"))))
    await process.until_quiet()
    await process.kill()
    assert database.notes("a") == ("x", "1 refused", "2 done")


async def test_every_kind_says_its_policy_and_its_carrier_is_found_by_its_base(begin: Begin, outside: Outside) -> None:
    process = await begin()
    other = Outside()
    process.lanes.register(Look, other)
    await process.tell(to("a", note("x", *names("1"), *names("2", kind=Look))))
    await process.until_quiet()
    assert (outside.asked, other.asked) == (["1"], ["2"])
    assert {Again.policy, Look.policy, Mark.policy} == set(Policy)


async def test_a_fault_of_ours_ends_the_service(database: MemoryDatabase, outside: Outside) -> None:
    async with Supervisor() as supervisor:
        process = Process(database, outside, Again)
        await supervisor.add(process.runner)
        await supervisor.add(process.lanes)
        process.runner.tell(to("a", Make()), to("a", note("x", Nowhere(id="1"))))
        async with asyncio.timeout(5):
            failed = await supervisor.failed()
        assert isinstance(failed, ExceptionGroup)
        assert isinstance(failed.exceptions[0], NotImplementedError)


# Many, and the end


async def test_ten_thousand_open_rows_need_no_task_and_no_time(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    process.lanes.close("door")
    for number in range(10_000):
        row_id = f"row {number}"
        process.runner.tell(to(row_id, Make()))
        process.runner.tell(to(row_id, note("x", Again(id=f"c{number}", place=f"door/{number}"))))
    await process.tell(to("a", note("x")))
    await process.kill()
    process = Process(database, outside, Again)
    process.lanes.close("door")
    await process.start()
    await until(lambda: not process.lanes.is_behind, "it was read", 30)
    assert (process.lanes.pending_count, process.lanes.lane_count) == (10_000, 10_000)
    assert process.lanes.task_count == 0
    assert len(asyncio.all_tasks()) < 10
    process.lanes.open("door")
    await process.until_quiet(60)
    await process.kill()
    assert len(outside.done) == 10_000
    assert outside.most_at_once <= 100
    assert process.lanes.pending_count == process.lanes.lane_count == 0


async def test_a_stop_waits_for_what_is_under_way_and_begins_nothing(
    database: MemoryDatabase, begin: Begin, outside: Outside
) -> None:
    process = await begin()
    gate = outside.gate("1")
    await process.tell(to("a", note("x", *names("1", "2"))))
    await until(lambda: outside.asked, "it is under way")
    stopping = asyncio.create_task(process.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    gate.set()
    await stopping
    assert outside.asked == ["1"]
    assert database.notes("a") == ("x", "1 done")
    process = await begin()
    await process.until_quiet()
    assert outside.asked == ["1", "2"]


async def test_a_stop_does_not_wait_without_end(begin: Begin, outside: Outside) -> None:
    process = await begin(lanes={"stop_patience": ms(30)})
    outside.gate("1")
    await process.tell(to("a", note("x", *names("1"))))
    await until(lambda: outside.asked, "it is under way")
    async with asyncio.timeout(5):
        await process.stop()
