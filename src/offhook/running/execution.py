"""One try of a command, by its policy.

Theory of operation. A try gives the outcome, or None if that is not known yet: then the lane comes back, unless it
stands still. Between any two steps of a try the command may have been superseded, or its lane be told to stand still:
that is looked at last before a request is sent, and nothing is awaited in between.

    AGAIN   carried out, and again while it is `Unavailable` and patience lasts
    LOOK    carried out; if it may have been done (it is older than this process, or was `Unavailable`), looked for
    MARK    marked, committed, then carried out; a marked one that may have been done is only looked for

What is looked for and not found is `Unknown`. Time in which the lane stands still is not counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from offhook.domain.step import (
    Absent,
    Begun,
    Command,
    Done,
    Outcome,
    Policy,
    Refused,
    Superseded,
    Tell,
    Unavailable,
    Unknown,
)
from offhook.running.lane import Lane, Waiting
from offhook.running.port import Carrier
from offhook.running.runner import Runner

MAX_REQUESTS = 100
"""How many requests are with one carrier at the same time."""
FIRST_PAUSE = timedelta(seconds=0.2)
LONGEST_PAUSE = timedelta(seconds=2)
LONGEST_REQUEST = timedelta(seconds=30)
"""A request that takes longer is given up. Carriers have bounds of their own, which are shorter."""

log = structlog.get_logger()


class Registered:
    """A carrier, and the places for requests with it."""

    def __init__(self, carrier: Carrier, max_requests: int) -> None:
        self.carrier = carrier
        self.places = asyncio.Semaphore(max_requests)


class Execution:
    """Tries commands. `stands_still` says of a lane whether nothing may be sent now."""

    def __init__(
        self,
        runner: Runner,
        stands_still: Callable[[Lane], bool],
        *,
        first_pause: timedelta = FIRST_PAUSE,
        longest_pause: timedelta = LONGEST_PAUSE,
        longest_request: timedelta = LONGEST_REQUEST,
    ) -> None:
        self._runner = runner
        self._stands_still = stands_still
        self._first_pause_s = first_pause.total_seconds()
        self._longest_pause_s = longest_pause.total_seconds()
        self._longest_request_s = longest_request.total_seconds()
        self._registered: dict[type[Command], Registered] = {}

    def register(self, command_type: type[Command], carrier: Carrier, max_requests: int) -> None:
        """Commands of that type, and of those below it, are `carrier`'s."""
        self._registered[command_type] = Registered(carrier, max_requests)

    async def once(self, one: Waiting) -> Outcome | None:
        """Try it. May be called again until there is an outcome."""
        if one.is_pointless:
            return Superseded()
        registered = self._registered_for(one.command)
        if registered is None:
            log.error("running.no_carrier", command=type(one.command).__name__, id=one.command.id)
            return Refused("nobody carries out such commands")
        if one.command.policy is Policy.MARK and not one.is_marked:
            return await self._mark(one)
        async with registered.places:
            if one.is_pointless or self._stands_still(one.lane):
                return None
            looks, was_sent = one.is_begun, one.was_sent
            one.was_sent = True
            began_s = _now_s()
            outcome = await self._request(registered.carrier, one, looks=looks)
        if isinstance(outcome, Unavailable):
            if outcome.is_undone:
                one.was_sent = was_sent
            return await self._unavailable(one, _now_s() - began_s, looks=looks)
        if looks and not isinstance(outcome, Done | Absent):
            return Unknown()
        return outcome

    async def _mark(self, one: Waiting) -> Outcome | None:
        order = one.order
        result = await self._runner.tell_and_wait(Tell(order.kind, order.id, Begun(one.command.id)))
        if not result.is_done or result.states[0] is None:
            log.error("running.not_marked", kind=order.kind, id=order.id, command=type(one.command).__name__)
            return Refused("its mark could not be set")
        one.is_marked = True
        return None

    async def _request(self, carrier: Carrier, one: Waiting, *, looks: bool) -> Outcome:
        try:
            async with asyncio.timeout(self._longest_request_s):
                return await (carrier.look if looks else carrier.carry_out)(one.command)
        except TimeoutError:
            log.error("running.request_given_up", command=type(one.command).__name__, id=one.command.id)
            return Unavailable()
        except Exception as error:
            log.exception("running.carrier_failed", command=type(one.command).__name__, id=one.command.id)
            return Unknown() if one.is_begun else Refused(f"a fault of ours: {type(error).__name__}")

    async def _unavailable(self, one: Waiting, took_s: float, *, looks: bool) -> Outcome | None:
        """What to make of a request without an answer."""
        if self._stands_still(one.lane):
            one.pause_s = 0.0
            return None
        one.spent_s += took_s
        if one.is_superseded:
            return Unknown() if looks else None
        patience = one.command.patience
        if patience is not None and one.spent_s >= patience.total_seconds():
            if looks:
                return Unknown()
            return None if one.is_begun else Unavailable()
        await self._pause(one)
        return None

    async def _pause(self, one: Waiting) -> None:
        began_s = _now_s()
        one.pause_s = min(max(one.pause_s * 2, self._first_pause_s), self._longest_pause_s)
        pause_s = one.pause_s
        patience = one.command.patience
        if patience is not None:
            # The last try is made when patience ends.
            pause_s = min(pause_s, patience.total_seconds() - one.spent_s)
        one.lane.wake.clear()
        try:
            async with asyncio.timeout(pause_s):
                await one.lane.wake.wait()
        except TimeoutError:
            pass
        one.spent_s += _now_s() - began_s

    def _registered_for(self, command: Command) -> Registered | None:
        return next((self._registered[kind] for kind in type(command).__mro__ if kind in self._registered), None)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
