"""No service dies unseen."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from offhook.domain.errors import UnavailableError
from offhook.node import supervisor as supervisor_module
from offhook.node.lifetime import run_until_stopped
from offhook.node.service import Service
from offhook.node.supervisor import Supervisor


class Worker(Service):
    """Works until it is stopped, or told to fail; notes what happened to it."""

    def __init__(self, name: str, notes: list[str], *, refuses: bool = False) -> None:
        self._name = name
        self._notes = notes
        self._refuses = refuses
        self.fails = asyncio.Event()
        self.fault: Exception | None = RuntimeError("broken")

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        self._notes.append(f"{self._name} starts")
        if self._refuses:
            raise RuntimeError("refused")

    async def run(self) -> None:
        self._notes.append(f"{self._name} runs")
        await self.fails.wait()
        self.fails.clear()
        if self.fault is not None:
            raise self.fault

    async def stop(self) -> None:
        self._notes.append(f"{self._name} stops")


class Asking:
    """Somebody who may ask the node to stop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def wait(self) -> None:
        await self.asked.wait()


async def test_what_is_needed_starts_first_and_stops_last() -> None:
    notes: list[str] = []
    async with Supervisor() as supervisor:
        await supervisor.add(Worker("store", notes))
        await supervisor.add(Worker("web", notes))
    assert [note for note in notes if "runs" not in note] == ["store starts", "web starts", "web stops", "store stops"]


async def test_a_service_that_fails_is_run_again_and_named_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_FIRST_PAUSE_S", 0.2)
    notes: list[str] = []
    async with asyncio.timeout(10), Supervisor() as supervisor:
        worker = await supervisor.add(Worker("retention", notes), restart=True)
        assert supervisor.missing() == []
        worker.fails.set()
        while supervisor.missing() != ["retention"]:
            await asyncio.sleep(0.01)
        while notes.count("retention runs") < 2:
            await asyncio.sleep(0.01)
        assert supervisor.missing() == []


@pytest.mark.parametrize("fault", [RuntimeError("broken"), None])
async def test_a_node_ends_when_a_part_has_ended_that_it_cannot_do_without(fault: Exception | None) -> None:
    notes: list[str] = []

    async with asyncio.timeout(10), Supervisor() as supervisor:
        engine = Worker("engine", notes)
        engine.fault = fault

        async def start() -> None:
            await supervisor.add(Worker("store", notes))
            await supervisor.add(engine)
            engine.fails.set()

        assert not await run_until_stopped(supervisor, start(), Asking())
        assert supervisor.missing() == ["engine"]
    assert notes[-2:] == ["engine stops", "store stops"]


async def test_a_part_that_ends_as_cancelled_is_seen_too() -> None:
    class Cancelled(Worker):
        async def run(self) -> None:
            raise asyncio.CancelledError

    async with asyncio.timeout(10), Supervisor() as supervisor:

        async def start() -> None:
            await supervisor.add(Cancelled("engine", []))

        assert not await run_until_stopped(supervisor, start(), Asking())


async def test_a_part_that_is_cancelled_while_it_waits_to_be_run_again_is_run_again() -> None:
    class Failing(Worker):
        runs: ClassVar[list[asyncio.Task[Any] | None]] = []

        async def run(self) -> None:
            self.runs.append(asyncio.current_task())
            if len(self.runs) > 1:
                await asyncio.Event().wait()
            raise RuntimeError("no")

    async with asyncio.timeout(10), Supervisor() as supervisor:
        part = await supervisor.add(Failing("retention", []), restart=True)
        while not part.runs:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task = part.runs[0]
        assert task is not None
        task.cancel()
        while len(part.runs) < 2:
            await asyncio.sleep(0.01)
        assert supervisor.missing() == []


async def test_a_node_that_is_asked_to_stop_while_it_starts_stops() -> None:
    notes: list[str] = []
    asking = Asking()

    async with asyncio.timeout(10), Supervisor() as supervisor:

        async def start() -> None:
            await supervisor.add(Worker("store", notes))
            asking.asked.set()
            await asyncio.Event().wait()

        assert await run_until_stopped(supervisor, start(), asking)
    assert notes[-1] == "store stops"


async def test_a_service_that_cannot_start_is_stopped_with_the_others() -> None:
    notes: list[str] = []
    async with asyncio.timeout(10), Supervisor() as supervisor:

        async def start() -> None:
            await supervisor.add(Worker("store", notes))
            await supervisor.add(Worker("engine", notes, refuses=True))

        with pytest.raises(RuntimeError, match="refused"):
            await run_until_stopped(supervisor, start(), Asking())
    assert notes[-2:] == ["engine stops", "store stops"]


async def test_a_refusal_that_ends_a_part_while_it_stops_is_a_sentence_and_no_traceback() -> None:
    class Refused(Worker):
        async def stop(self) -> None:
            self.fault = UnavailableError("The database has been away.")
            self.fails.set()
            await asyncio.sleep(0.01)

    with capture_logs() as logs:
        async with asyncio.timeout(10), Supervisor() as supervisor:
            await supervisor.add(Refused("store", []))
            await asyncio.sleep(0)
    (line,) = logs
    assert line == {
        "event": "node.service_failed",
        "log_level": "error",
        "service": "store",
        "error": "The database has been away.",
    }


async def test_one_that_cannot_be_stopped_keeps_no_other_from_stopping() -> None:
    notes: list[str] = []

    class Stubborn(Worker):
        async def stop(self) -> None:
            raise RuntimeError("no")

    async with asyncio.timeout(10), Supervisor() as supervisor:
        await supervisor.add(Worker("store", notes))
        await supervisor.add(Stubborn("web", notes))
    assert notes[-1] == "store stops"
