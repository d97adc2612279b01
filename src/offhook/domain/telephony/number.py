"""Numbers: who is called at which, and what is run then (calls-flows-recordings 11, 31)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta

from offhook.domain.catalogue.fields import Resource, Time, Uuid
from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs import flow
from offhook.domain.inputs.number import BY_DIGITS, BY_FLOW, KIND, Change, Make
from offhook.domain.noun import Entry, Noun
from offhook.domain.resources import changed, deleted, missing
from offhook.domain.step import Broken, Delete, Found, Lookup, Refusal, Step
from offhook.domain.times import rfc3339

Input = Make | Change | Found | Delete
"""What a number can be told."""

_SEPARATORS = str.maketrans("", "", "-.() ")
_NUMBER = re.compile(r"\+?[0-9]{2,15}")


class Number(Resource, frozen=True, kw_only=True):
    """The public shape (facts, section 4.8)."""

    number: Annotated[str, Meta(description="The number, without separators; `+` as it was given.")]
    type: Annotated[Literal["normal"], Meta(description="What kind of number it is.")] = "normal"
    name: Annotated[str, Meta(description="A name of your own.")] = ""
    detail: Annotated[str, Meta(description="A remark of your own.")] = ""
    call_flow_id: Annotated[Uuid, Meta(description="The flow that runs when it is called.")] = NIL_UUID
    message_flow_id: Annotated[Uuid, Meta(description="The flow that runs when it is sent a text.")] = NIL_UUID
    tm_create: Annotated[Time, Meta(description="When it was made.")]
    tm_update: Annotated[Time | None, Meta(description="When it last changed.")] = None
    tm_delete: Annotated[Time | None, Meta(description="When it was deleted.")] = None


class NumberState(msgspec.Struct, frozen=True):
    """A number. `is_new` until it is known that it is nobody else's. While it is checked it was not committed."""

    number: Number
    is_new: bool = False


def kept_number(text: str) -> str:
    """The form in which a number is kept and shown. Raises InvalidError naming `number`."""
    number = text.translate(_SEPARATORS)
    if _NUMBER.fullmatch(number) is None:
        raise InvalidError(
            f"{text[:64]!r} is no number: it has 2 to 15 digits, with or without a + before them.", field="number"
        )
    return number


def digits_of(dialled: str) -> str:
    """What a number is matched by; "" for what is wholly no number (RFC 3966: separators mean nothing)."""
    number = dialled.translate(_SEPARATORS)
    return number.lstrip("+") if _NUMBER.fullmatch(number) else ""


def decide(state: NumberState | None, told: Input, now: datetime) -> Step[NumberState]:
    """What a number becomes of an input."""
    if state is None:
        assert isinstance(told, Make)
        return _checked(NumberState(_made(told, now), is_new=True))
    number = state.number
    match told:
        case Found():
            return _checked(state, told)
        case Change():
            return _checked(NumberState(changed(number, told, now)))
        case Delete():
            if number.tm_delete is not None:
                return Step(state, refused=missing(KIND, number.id))
            return Step(NumberState(deleted(number, now)))
        case Make():
            return Step(state)
        case _:
            assert_never(told)


def is_final(state: NumberState) -> bool:
    """Whether it was deleted: then it may be somebody else's."""
    return state.number.tm_delete is not None


def broken(state: NumberState, told: Broken, now: datetime) -> Step[NumberState]:
    """Nothing of a number runs by itself: there is nothing to end but the number."""
    del told
    return Step(NumberState(deleted(state.number, now)))


NUMBER: Noun[NumberState] = Noun(
    kind=KIND,
    state_type=NumberState,
    decide=decide,
    is_final=is_final,
    broken=broken,
    customer_of=lambda state: state.number.customer_id,
    creates=(Make,),
    is_hidden=is_final,
    indexes={
        BY_DIGITS: lambda state: (Entry(digits_of(state.number.number)),),
        BY_FLOW: lambda state: tuple(map(Entry, _flow_ids(state.number))),
    },
    lives=False,
)
"""The number in the registry."""


def _made(told: Make, now: datetime) -> Number:
    return Number(
        id=told.id,
        customer_id=told.customer_id,
        number=told.number,
        name=told.name,
        detail=told.detail,
        call_flow_id=told.call_flow_id,
        message_flow_id=told.message_flow_id,
        tm_create=rfc3339(now),
    )


def _checked(state: NumberState, found: Found | None = None) -> Step[NumberState]:
    """Ask for one thing after another that has to be so, until all are; `found` is the answer to the last one."""
    lookups = _lookups(state)
    if found is not None:
        refused = _refusal(state.number, found)
        if refused is not None:
            return Step(state, refused=refused)
        lookups = lookups[lookups.index(found.lookup) + 1 :]
    return Step(state, lookup=lookups[0]) if lookups else Step(NumberState(state.number))


def _lookups(state: NumberState) -> list[Lookup]:
    number = state.number
    # Of its own digits there may be itself, and somebody else's.
    same = [Lookup(KIND, BY_DIGITS, digits_of(number.number), 2)] if state.is_new else []
    return same + [_flow_lookup(number, flow_id) for flow_id in _flow_ids(number)]


def _flow_ids(number: Number) -> list[str]:
    return sorted({number.call_flow_id, number.message_flow_id} - {NIL_UUID})


def _flow_lookup(number: Number, flow_id: str) -> Lookup:
    return Lookup(flow.KIND, flow.BY_ID, flow.place_of(number.customer_id, flow_id), 1)


def _refusal(number: Number, found: Found) -> Refusal | None:
    if found.lookup.kind == KIND:
        if any(each != number.id for each in found.ids):
            return Refusal(409, "ALREADY_EXISTS", f"The number {number.number} is taken.", "number")
    elif not found.ids:
        field = "call_flow_id" if found.lookup == _flow_lookup(number, number.call_flow_id) else "message_flow_id"
        return Refusal(400, "INVALID_ARGUMENT", f"{field}: there is no flow {flow.id_in(found.lookup.key)}.", field)
    return None
