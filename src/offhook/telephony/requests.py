"""What the API asks of a call."""

from __future__ import annotations

from offhook.domain.catalogue.call import Call
from offhook.domain.inputs.call import KIND, Control, HangUpAsked
from offhook.domain.step import Delete, Tell
from offhook.domain.telephony.call_state import CallState
from offhook.running.runner import Runner


async def hang_up(runner: Runner, customer_id: str, call_id: str) -> Call:
    """Hang a call up; the call, `terminating` until the switch has ended it. One that is over stays as it is.

    Raises NotFoundError, and UnavailableError if that cannot be committed now.
    """
    state: CallState = await runner.ask(customer_id, Tell(KIND, call_id, HangUpAsked()))
    return state.call


async def control(runner: Runner, customer_id: str, call_id: str, asked: Control) -> None:
    """Turn something of a call's on or off; what is so already stays. A ConflictError unless it is in progress.

    Raises as `hang_up`.
    """
    await runner.ask(customer_id, Tell(KIND, call_id, asked))


async def delete(runner: Runner, customer_id: str, call_id: str) -> Call:
    """Hang a call up if it is not over, and hide it; the call. One that is hidden already is a ConflictError.

    Raises as `hang_up`.
    """
    state: CallState = await runner.ask(customer_id, Tell(KIND, call_id, Delete()))
    return state.call
