"""What is told is decided, in order, whatever the database does meanwhile; who asks is answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from offhook.domain.errors import (
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    OffhookError,
    OverLimitError,
    UnavailableError,
)
from offhook.domain.step import Refusal
from offhook.node.supervisor import Supervisor
from offhook.running.answers import RuleFailedError
from offhook.running.runner import MAX_UNITS, Runner
from offhook.store.commit.change import UnknownEndError, unknown_end
from offhook.store.commit.unit import Result, Unit
from tests.running.jobs import CUSTOMER, NOUNS, DoorCommand, Job, Make, Raise, Refuse, RuleError, ToDoor, note, to
from tests.running.memory import MemoryDatabase
from tests.running.outside import Outside
from tests.running.process import Process, ms, until
from tests.running.unsteady import START

Begin = Callable[..., Awaitable[Process]]


def texts(database: MemoryDatabase, row_id: str = "a") -> list[str]:
    return list(database.notes(row_id))


# In order


async def test_inputs_are_decided_in_order_at_most_two_hundred_in_a_write(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    before = len(database.write_sizes)
    for number in range(450):
        process.runner.tell(to("a", note(str(number))))
    await process.tell(to("a", note("last")))
    assert texts(database) == [*map(str, range(450)), "last"]
    assert database.write_sizes[before:] == [MAX_UNITS, MAX_UNITS, 51]
    assert MAX_UNITS == 200


async def test_several_inputs_that_are_told_at_once_are_one_unit(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    result = await process.tell(to("a", note("1")), to("b", note("2")))
    assert [state.notes for state in result.states] == [("1",), ("2",)]
    assert len(database.units[-1].tells) == 2


async def test_an_input_is_decided_as_of_when_it_was_heard_or_else_as_of_now(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    heard_at = START - timedelta(seconds=5)
    before = database.clock.now
    process.runner.tell(to("a", note("heard")), at=heard_at)
    await process.tell(to("a", note("now")))
    assert database.units[-2].at == heard_at
    assert before <= database.units[-1].at <= database.clock.now


# The database goes away


async def test_what_waited_for_the_database_counts_from_when_it_was_told(
    database: MemoryDatabase, begin: Begin
) -> None:
    """Else a hang-up that was heard meanwhile would be as late as what was told before it."""
    process = await begin()
    told_at = database.clock.stand_still()
    database.is_away = True
    tries = len(database.write_sizes)
    process.runner.tell(to("a", note("1")))
    await until(lambda: len(database.write_sizes) > tries + 1, "it is tried again")
    database.clock.set_forward(timedelta(minutes=1))
    process.runner.tell(to("a", note("2")), at=told_at + timedelta(seconds=5))
    database.is_away = False
    await process.tell(to("a", note("3")))
    assert texts(database) == ["1", "2", "3"]
    moments = [unit.at - told_at for unit in database.units[-3:]]
    assert moments == [timedelta(), timedelta(seconds=5), timedelta(minutes=1)]


async def test_the_database_is_away_in_mid_call_and_the_order_is_kept(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    process.runner.tell(to("a", note("before")))
    await until(lambda: texts(database), "the first is decided")
    database.is_away = True
    for number in range(300):
        process.runner.tell(to("a", note(str(number))))
        if number % 30 == 0:
            await asyncio.sleep(0.02)
    tries = len(database.write_sizes)
    await until(lambda: len(database.write_sizes) > tries + 2, "it is tried again and again")
    assert texts(database) == ["before"]
    database.is_away = False
    await process.tell(to("a", note("after")))
    assert texts(database) == ["before", *map(str, range(300)), "after"]


@pytest.mark.alone
async def test_the_pause_between_two_tries_grows_up_to_a_bound(
    database: MemoryDatabase, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await begin(runner={"first_pause": ms(10), "longest_pause": ms(40)})
    tried_s: list[float] = []
    loop = asyncio.get_running_loop()
    refuse = process.store.apply

    async def apply(units: Sequence[Unit]) -> Sequence[Result]:
        tried_s.append(loop.time())
        return await refuse(units)

    monkeypatch.setattr(process.store, "apply", apply)
    database.is_away = True
    process.runner.tell(to("a", note("1")))
    await until(lambda: len(tried_s) == 7, "it was tried seven times")
    pauses = [after - before for before, after in itertools.pairwise(tried_s)]
    assert all(pause >= least for pause, least in zip(pauses, [0.01, 0.02, 0.04, 0.04, 0.04, 0.04], strict=True))
    assert max(pauses) < 1
    database.is_away = False
    await process.tell(to("a", note("2")))
    assert texts(database) == ["1", "2"]


async def test_a_write_that_was_committed_and_not_answered_is_repeated_and_does_no_harm(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    database.lost_answers = 1
    await process.tell(to("c", Make()))
    await process.tell(to("c", note("1")))
    assert texts(database, "c") == ["1"]
    assert [unit.tells[0] for unit in database.units].count(to("c", Make())) == 2


async def test_what_the_database_refuses_for_another_reason_is_repeated_one_by_one(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    database.next_errors = [ValueError("integer out of range")]
    before = len(database.write_sizes)
    for number in range(20):
        process.runner.tell(to("a", note(str(number))))
    await process.tell(to("a", note("last")))
    assert texts(database) == [*map(str, range(20)), "last"]
    assert database.write_sizes[before : before + 4] == [21, 1, 2, 4]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.2, 0.5, 0.8]))
def test_whatever_writes_fail_of_every_input_is_decided_in_order(seed: int, fault_rate: float) -> None:
    with capture_logs():
        asyncio.run(_fail_at_random(Random(seed), fault_rate))


async def _fail_at_random(random: Random, fault_rate: float) -> None:
    database = MemoryDatabase(NOUNS, DoorCommand)
    process = Process(database, Outside(), ToDoor, runner={"first_pause": ms(0.1), "longest_pause": ms(1)})
    await process.start()
    await process.tell(to("a", Make()))
    asked: dict[str, asyncio.Task[object]] = {}
    for number in range(40):
        process.runner.tell(to("a", note(str(number))))
        if random.random() < fault_rate:
            database.next_errors.append(random.choice((UnavailableError("away"), unknown_end(), ValueError())))
        if random.random() < fault_rate:
            database.lost_answers += 1
        if random.random() < 0.2:
            text = f"asked {number}"
            asked[text] = asyncio.create_task(process.runner.ask(CUSTOMER, to("a", note(text))))
        for _ in range(random.randrange(6)):
            await asyncio.sleep(0)
    database.next_errors.clear()
    database.lost_answers = 0
    await process.tell(to("a", note("last")))
    for text, answer in zip(asked, await asyncio.gather(*asked.values(), return_exceptions=True), strict=True):
        if not isinstance(answer, UnknownEndError):
            assert (text in texts(database)) == isinstance(answer, Job), (text, answer)
    told = [text for text in texts(database) if not text.startswith("asked")]
    # What was committed without an answer stands there twice: these jobs note whatever they are told.
    first = list(dict.fromkeys(told))
    assert first == [*map(str, range(40)), "last"]
    assert process.runner.waiting_count == 0
    await process.kill()


# Asking


async def test_whoever_asks_gets_the_state_after_its_own_commit(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    process.runner.tell(to("a", note("1")))
    asked = process.runner.ask(CUSTOMER, to("a", note("2")))
    state = await asked
    assert state.notes == ("1", "2")
    assert database.units[-1].is_asked
    assert database.units[-1].customer_id == CUSTOMER


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (409, ConflictError),
        (429, OverLimitError),
        (503, UnavailableError),
    ],
)
async def test_a_refusal_is_the_error_of_its_status(
    database: MemoryDatabase, begin: Begin, status: int, kind: type[OffhookError]
) -> None:
    process = await begin()
    with pytest.raises(kind) as refused:
        await process.runner.ask(CUSTOMER, to("a", Refuse(Refusal(status, "NOT_THAT", "Not that.", "this"))))
    assert (refused.value.reason, refused.value.message, refused.value.field) == ("NOT_THAT", "Not that.", "this")
    with pytest.raises(kind) as refused:
        await process.runner.ask(CUSTOMER, to("a", Refuse(Refusal(status, "NOT_THAT", "Not that."))))
    assert refused.value.field is None
    assert texts(database) == []


async def test_what_there_is_not_is_not_found_and_what_is_over_is_in_conflict(begin: Begin) -> None:
    process = await begin()
    with pytest.raises(NotFoundError) as missing:
        await process.runner.ask(CUSTOMER, to("nobody", note("1")))
    assert missing.value.reason == "JOB_NOT_FOUND"
    with pytest.raises(NotFoundError):
        await process.runner.ask("another customer", to("a", note("1")))
    await process.runner.ask(CUSTOMER, to("a", note("1", ends=True)))
    with pytest.raises(ConflictError) as over:
        await process.runner.ask("", to("a", note("2")))
    assert over.value.reason == "STATE_INVALID"


async def test_a_rule_that_raises_is_an_internal_error_for_whoever_asked(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    with pytest.raises(RuleFailedError) as failed:
        await process.runner.ask(CUSTOMER, to("a", Raise()))
    assert isinstance(failed.value.__cause__, RuleError)
    with pytest.raises(RuleFailedError):
        await process.runner.ask(CUSTOMER, to("a", Refuse(Refusal(418, "TEAPOT", "No."))))
    assert texts(database) == []
    assert process.runner.dropped_count == 0


async def test_a_rule_that_raises_ends_its_own_row_and_what_cannot_even_be_ended_is_dropped(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    await process.tell(to("c", Make(is_unbreakable=True)))
    process.runner.tell(to("c", Raise()))
    process.runner.tell(to("a", Raise()))
    await process.tell(to("b", note("1")))
    assert (texts(database, "c"), texts(database, "a"), texts(database, "b")) == ([], ["broken"], ["1"])
    assert process.runner.dropped_count == 1


async def test_what_was_asked_is_done_though_whoever_asked_has_gone(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    asking = asyncio.create_task(process.runner.ask(CUSTOMER, to("a", note("1"))))
    await asyncio.sleep(0)
    asking.cancel()
    await process.tell(to("a", note("2")))
    assert asking.cancelled()
    assert texts(database) == ["1", "2"]


async def test_whoever_asks_while_the_database_is_away_is_told_at_once_and_the_others_are_repeated(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    database.is_away = True
    process.runner.tell(to("a", note("1")))
    asking = process.runner.ask(CUSTOMER, to("a", note("asked")))
    process.runner.tell(to("a", note("2")))
    with pytest.raises(UnavailableError) as refused:
        await asking
    assert refused.value.reason == "SERVICE_UNAVAILABLE"
    database.is_away = False
    await process.tell(to("a", note("3")))
    assert texts(database) == ["1", "2", "3"]


async def test_whoever_asks_is_told_that_nobody_can_tell(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin()
    database.lost_answers = 1
    with pytest.raises(UnknownEndError):
        await process.runner.ask(CUSTOMER, to("a", note("1")))
    await process.tell(to("a", note("2")))
    assert texts(database) == ["1", "2"]


async def test_an_answer_is_not_waited_for_without_end(
    database: MemoryDatabase, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await begin(runner={"ask_patience": ms(30)})
    held = asyncio.Event()
    apply = process.store.apply

    async def slowly(units: Sequence[Unit]) -> Sequence[Result]:
        await held.wait()
        return await apply(units)

    monkeypatch.setattr(process.store, "apply", slowly)
    first = asyncio.create_task(process.runner.ask(CUSTOMER, to("a", note("1"))))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(process.runner.ask(CUSTOMER, to("a", note("2"))))
    with pytest.raises(UnavailableError) as begun:
        await first
    with pytest.raises(UnavailableError) as waiting:
        await second
    # The first may be done, and is; the second is not, as was said.
    assert (begun.value.reason, waiting.value.reason) == ("OUTCOME_UNKNOWN", "SERVICE_UNAVAILABLE")
    held.set()
    await process.tell(to("a", note("3")))
    assert texts(database) == ["1", "3"]


# Its end


async def test_a_stop_decides_what_is_in_the_inbox_and_then_nothing_is_accepted(
    database: MemoryDatabase, begin: Begin
) -> None:
    process = await begin()
    for number in range(500):
        process.runner.tell(to("a", note(str(number))))
    await process.runner.stop()
    assert len(texts(database)) == 500
    with pytest.raises(UnavailableError):
        await process.runner.ask(CUSTOMER, to("a", note("1")))
    with pytest.raises(UnavailableError):
        await process.tell(to("a", note("1")))
    await process.runner.stop()


async def test_a_stop_does_not_wait_for_the_database_without_end(database: MemoryDatabase, begin: Begin) -> None:
    process = await begin(runner={"stop_patience": ms(30)})
    database.is_away = True
    waiting = process.runner.submit(to("a", note("1")))
    await process.runner.stop()
    await process.kill()
    with pytest.raises(UnavailableError):
        await waiting


async def test_a_fault_of_ours_ends_the_service(database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    store = database.store()

    async def apply(units: Sequence[Unit]) -> Sequence[Result]:
        return []

    monkeypatch.setattr(store, "apply", apply)
    async with Supervisor() as supervisor:
        runner = await supervisor.add(Runner(store))
        runner.tell(to("a", Make()))
        async with asyncio.timeout(5):
            assert isinstance(await supervisor.failed(), ValueError)
        with pytest.raises(UnavailableError):
            await runner.ask(CUSTOMER, to("a", Make()))
