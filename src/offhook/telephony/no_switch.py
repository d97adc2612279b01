"""Calls of a node that has no phone system: there are only those that are over."""

from __future__ import annotations

from offhook.domain.catalogue.call import Call
from offhook.domain.inputs.call import KIND, Control, Lost
from offhook.domain.step import Tell
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.store.commit.unit import Unit
from offhook.store.store import Store
from offhook.telephony.requests import control, delete, hang_up

_AT_ONCE = 200


class NoCalls:
    """What the API is given. What calls still have to tell the switch `switch_name` waits until there is one."""

    def __init__(self, runner: Runner, lanes: Lanes, timers: Timers, switch_name: str) -> None:
        self._runner = runner
        lanes.close(switch_name)
        timers.hold(switch_name)

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """The call as it ended. Raises NotFoundError, and UnavailableError if the database cannot be written."""
        return await hang_up(self._runner, customer_id, call_id)

    async def control(self, customer_id: str, call_id: str, asked: Control) -> None:
        """None is in progress. Raises NotFoundError, ConflictError."""
        await control(self._runner, customer_id, call_id, asked)

    async def delete(self, customer_id: str, call_id: str) -> Call:
        """Hide a call. Raises NotFoundError, ConflictError, UnavailableError."""
        return await delete(self._runner, customer_id, call_id)


async def end_open_calls(store: Store) -> None:
    """End what was open before: no call stays open for ever."""
    rows = await store.read(store.tables.open)
    now = store.now()
    units = [Unit((Tell(KIND, row.id, Lost()),), now) for row in rows if row.kind == KIND]
    for first in range(0, len(units), _AT_ONCE):
        await store.apply(units[first : first + _AT_ONCE])
