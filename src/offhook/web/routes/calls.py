"""Calls: looking at them, hanging them up, and what is turned on and off while both sides talk."""

from __future__ import annotations

from typing import Literal

import msgspec
from litestar import MediaType, delete, get, post

from offhook.domain.accounts.customer import MANAGERS
from offhook.domain.catalogue.call import Call
from offhook.domain.inputs.call import KIND, Control, MuteAsked, SoundAsked
from offhook.domain.telephony.call_filter import DIRECTIONS, STATUSES, CallFilter
from offhook.domain.telephony.call_state import CallState
from offhook.web.lists import list_of, one_of
from offhook.web.request import (
    AnyRequest,
    Listing,
    checked_choice,
    checked_id,
    checked_moment,
    checked_reference,
    customer_in,
    services_of,
)


class Muting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`in` is what the call says, `out` what it hears."""

    direction: Literal["in", "out", "both"] = "both"


_BOTH = Muting()


@get("/v1.0/calls", tags=["calls"])
async def list_all(
    request: AnyRequest,
    page_size: int | None = None,
    page_token: str = "",
    status: str = "",
    direction: str = "",
    number: str = "",
    activeflow_id: str = "",
    groupcall_id: str = "",
    since: str = "",
    until: str = "",
) -> Listing:
    """The calls, newest first. `number` is on either side; `since` and `until` are about when they began."""
    customer_id = await customer_in(request, MANAGERS)
    wanted = CallFilter(
        status=checked_choice("status", status, STATUSES),
        direction=checked_choice("direction", direction, DIRECTIONS),
        number=number,
        activeflow_id=checked_reference("activeflow_id", activeflow_id) if activeflow_id else "",
        groupcall_id=checked_reference("groupcall_id", groupcall_id) if groupcall_id else "",
    )
    return await list_of(
        request,
        KIND,
        customer_id,
        page_size,
        page_token,
        lambda state: state.call,
        takes=lambda state: wanted.takes(state.call),
        since=checked_moment("since", since),
        until=checked_moment("until", until),
    )


@get("/v1.0/calls/{call_id:str}", tags=["calls"])
async def show(request: AnyRequest, call_id: str) -> Call:
    """One call."""
    customer_id = await customer_in(request, MANAGERS)
    state: CallState = await one_of(request, KIND, customer_id, call_id)
    return state.call


@delete("/v1.0/calls/{call_id:str}", status_code=200, tags=["calls"])
async def remove(request: AnyRequest, call_id: str) -> Call:
    """Hang a call up if it is not over, and show it no more."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).calls.delete(customer_id, checked_id(call_id))


@post("/v1.0/calls/{call_id:str}/hangup", status_code=200, tags=["calls"])
async def hang_up(request: AnyRequest, call_id: str) -> Call:
    """Hang a call up. It is `terminating` until the switch has ended it."""
    customer_id = await customer_in(request, MANAGERS)
    return await services_of(request).calls.hang_up(customer_id, checked_id(call_id))


@post("/v1.0/calls/{call_id:str}/hold", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def hold(request: AnyRequest, call_id: str) -> None:
    """Put a call on hold: it hears music, and is not heard. A prompt that is under way is played to its end first."""
    await _turn(request, call_id, SoundAsked("hold", is_on=True))


@delete("/v1.0/calls/{call_id:str}/hold", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def unhold(request: AnyRequest, call_id: str) -> None:
    """Take a call off hold."""
    await _turn(request, call_id, SoundAsked("hold", is_on=False))


@post("/v1.0/calls/{call_id:str}/moh", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def start_music(request: AnyRequest, call_id: str) -> None:
    """Play music on hold to a call. A prompt that is under way is played to its end first."""
    await _turn(request, call_id, SoundAsked("moh", is_on=True))


@delete("/v1.0/calls/{call_id:str}/moh", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def stop_music(request: AnyRequest, call_id: str) -> None:
    """End the music."""
    await _turn(request, call_id, SoundAsked("moh", is_on=False))


@post("/v1.0/calls/{call_id:str}/silence", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def start_silence(request: AnyRequest, call_id: str) -> None:
    """Send silence to a call, instead of music. A prompt that is under way is played to its end first."""
    await _turn(request, call_id, SoundAsked("silence", is_on=True))


@delete("/v1.0/calls/{call_id:str}/silence", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def stop_silence(request: AnyRequest, call_id: str) -> None:
    """End the silence."""
    await _turn(request, call_id, SoundAsked("silence", is_on=False))


@post("/v1.0/calls/{call_id:str}/mute", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def mute(request: AnyRequest, call_id: str, data: Muting | None = None) -> None:
    """Mute a call: without a body both ways. A prompt that is under way is played to its end first."""
    await _turn(request, call_id, MuteAsked((data or _BOTH).direction, is_on=True))


@delete("/v1.0/calls/{call_id:str}/mute", status_code=200, media_type=MediaType.TEXT, tags=["calls"])
async def unmute(request: AnyRequest, call_id: str, data: Muting | None = None) -> None:
    """Unmute a call: without a body both ways."""
    await _turn(request, call_id, MuteAsked((data or _BOTH).direction, is_on=False))


async def _turn(request: AnyRequest, call_id: str, asked: Control) -> None:
    customer_id = await customer_in(request, MANAGERS)
    await services_of(request).calls.control(customer_id, checked_id(call_id), asked)
