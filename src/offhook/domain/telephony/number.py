"""Numbers: who is called at which, and what is run then (calls-flows-recordings 11, 31)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from offhook.domain.catalogue.fields import Resource, Time, Uuid
from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID
from offhook.domain.inputs.number import BY_DIGITS, BY_FLOW, KIND, Change, Make
from offhook.domain.noun import Entry, Noun
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
    """A number. `is_new` until it is known that it is nobody else's."""

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
        return _made(told, now)
    number = state.number
    match told:
        case Found(ids=ids):
            if state.is_new and any(found != number.id for found in ids):
                message = f"The number {number.number} is taken."
                return Step(state, refused=Refusal(409, "ALREADY_EXISTS", message, "number"))
            return Step(NumberState(number))
        case Change():
            return Step(NumberState(_changed(number, told, now)))
        case Delete():
            if number.tm_delete is not None:
                missing = Refusal(404, "NUMBER_NOT_FOUND", f"There is no number {number.id}.", "id")
                return Step(state, refused=missing)
            return Step(NumberState(replace(number, tm_delete=rfc3339(now))))
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
    return Step(NumberState(replace(state.number, tm_delete=rfc3339(now))))


NUMBER: Noun[NumberState] = Noun(
    kind=KIND,
    state_type=NumberState,
    decide=decide,
    is_final=is_final,
    broken=broken,
    customer_of=lambda state: state.number.customer_id,
    creates=(Make,),
    indexes={
        BY_DIGITS: lambda state: (Entry(digits_of(state.number.number)),),
        BY_FLOW: lambda state: tuple(
            Entry(flow_id) for flow_id in sorted({state.number.call_flow_id, state.number.message_flow_id} - {NIL_UUID})
        ),
    },
    lives=False,
)
"""The number in the registry."""


def _made(told: Make, now: datetime) -> Step[NumberState]:
    number = Number(
        id=told.id,
        customer_id=told.customer_id,
        number=told.number,
        name=told.name,
        detail=told.detail,
        call_flow_id=told.call_flow_id,
        message_flow_id=told.message_flow_id,
        tm_create=rfc3339(now),
    )
    # Of its own digits there may be itself, and somebody else's.
    return Step(NumberState(number, is_new=True), lookup=Lookup(KIND, BY_DIGITS, digits_of(number.number), 2))


def _changed(number: Number, told: Change, now: datetime) -> Number:
    given = {name: value for name, value in msgspec.structs.asdict(told).items() if value is not None}
    changed = replace(number, **given)
    return number if changed == number else replace(changed, tm_update=rfc3339(now))
