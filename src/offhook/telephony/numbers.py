"""Numbers: whom a caller reaches who dials one, what the API does with them, and which a new data folder has."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import sqlalchemy as sa
import structlog

from offhook.domain.catalogue.fields import Action
from offhook.domain.ids import NIL_UUID, new_uuid
from offhook.domain.inputs import flow
from offhook.domain.inputs import number as inputs
from offhook.domain.step import Delete, Lookup, Tell
from offhook.domain.telephony.number import Number, NumberState, digits_of, kept_number
from offhook.flows.flow import FlowState
from offhook.flows.greeting import greeting
from offhook.running.runner import Runner
from offhook.store.commit.rows import Wanted
from offhook.store.commit.unit import Unit
from offhook.store.queries.customers import exists, is_active, oldest_active_customer
from offhook.store.store import Store

FIRST_NUMBERS = ("+15559876543", "100")
"""The tutorial's own, and one that any phone can dial."""

_TRIED = 100

log = structlog.get_logger()


class Route(msgspec.Struct, frozen=True):
    """A number that takes calls, as it is kept: whose it is, and the flow that its calls run."""

    number: str
    customer_id: str
    flow_id: str
    actions: tuple[Action, ...]
    on_complete_flow_id: str = NIL_UUID


class NoRoute(msgspec.Struct, frozen=True):
    """Nobody takes calls to what was dialled, and why."""

    reason: str


async def route_of(store: Store, dialled: str) -> Route | NoRoute:
    """Whom a caller reaches who dialled this. Raises UnavailableError."""
    return await store.read(lambda connection: _route_of(store, connection, dialled))


def _route_of(store: Store, connection: sa.Connection, dialled: str) -> Route | NoRoute:
    found = _found(store, connection, dialled)
    if not found:
        return NoRoute("nobody has this number")
    called = found[0].number
    if not is_active(connection, called.customer_id):
        return NoRoute("its customer is frozen")
    if called.call_flow_id == NIL_UUID:
        return NoRoute("it has no call_flow_id")
    place = flow.place_of(called.customer_id, called.call_flow_id)
    flows: list[FlowState] = store.tables.found(connection, Lookup(flow.KIND, flow.BY_ID, place, 1))
    if not flows:
        return NoRoute(f"there is no flow {called.call_flow_id}")
    found_flow = flows[0].flow
    return Route(
        number=called.number,
        customer_id=called.customer_id,
        flow_id=found_flow.id,
        actions=found_flow.actions,
        on_complete_flow_id=found_flow.on_complete_flow_id,
    )


def _found(store: Store, connection: sa.Connection, dialled: str) -> list[NumberState]:
    digits = digits_of(dialled)
    there = Lookup(inputs.KIND, inputs.BY_DIGITS, digits, 1)
    return store.tables.found(connection, there) if digits else []


async def make_first_numbers(store: Store, ring_time: timedelta, sound: str) -> None:
    """The flow Greeting and two numbers that run it, for the first customer, unless there ever was a number.

    All in one commit: whatever kills the process, the next start finds all or nothing of it.
    """

    def query(connection: sa.Connection) -> str | None:
        has_numbers = store.tables.has_any(connection, inputs.KIND)
        return None if has_numbers else oldest_active_customer(connection)

    customer_id = await store.read(query)
    if customer_id is None:
        return
    flow_id = new_uuid()
    tells = [
        Tell(
            flow.KIND,
            flow_id,
            flow.Make(
                id=flow_id,
                customer_id=customer_id,
                name="Greeting",
                detail="Rings, greets, and sends back what it hears.",
                actions=greeting(ring_time, sound),
                on_complete_flow_id=NIL_UUID,
            ),
        )
    ]
    tells += [_made(customer_id, kept, flow_id) for kept in FIRST_NUMBERS]
    (result,) = await store.apply([Unit(tuple(tells), store.now(), customer_id=customer_id)])
    log.info("numbers.made", numbers=list(FIRST_NUMBERS), is_done=result.is_done)


async def number_that_takes_calls(store: Store) -> str:
    """A number of the first customer's to try: one of `FIRST_NUMBERS` if it is there, "" if there is none at all."""
    wanted = Wanted(_TRIED, takes=lambda state: state.number.call_flow_id != NIL_UUID)

    def query(connection: sa.Connection) -> str:
        customer_id = oldest_active_customer(connection)
        found = store.tables.page(connection, inputs.KIND, customer_id, wanted).found if customer_id else []
        numbers = [state.number.number for state in found]
        return next((first for first in FIRST_NUMBERS if first in numbers), numbers[0] if numbers else "")

    return await store.read(query)


class Numbers:
    """What the API does with numbers."""

    def __init__(self, store: Store, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    async def create(
        self, customer_id: str, *, number: str, name: str, detail: str, call_flow_id: str, message_flow_id: str
    ) -> Number:
        """Give a number to a customer. Raises InvalidError, and ConflictError (ALREADY_EXISTS) if it is somebody's."""
        make = inputs.Make(
            id=new_uuid(),
            customer_id=customer_id,
            number=kept_number(number),
            name=name,
            detail=detail,
            call_flow_id=call_flow_id,
            message_flow_id=message_flow_id,
        )
        await self._release(make.number)
        return await self._ask(customer_id, make.id, make)

    async def change(
        self,
        customer_id: str,
        number_id: str,
        *,
        name: str | None = None,
        detail: str | None = None,
        call_flow_id: str | None = None,
        message_flow_id: str | None = None,
    ) -> Number:
        """Change what is given. Raises NotFoundError, InvalidError."""
        change = inputs.Change(name=name, detail=detail, call_flow_id=call_flow_id, message_flow_id=message_flow_id)
        return await self._ask(customer_id, number_id, change)

    async def delete(self, customer_id: str, number_id: str) -> Number:
        """Take a number away. Raises NotFoundError."""
        return await self._ask(customer_id, number_id, Delete())

    async def _release(self, kept: str) -> None:
        """Take a number from a customer who was deleted."""

        def query(connection: sa.Connection) -> list[Number]:
            held = [state.number for state in _found(self._store, connection, kept)]
            return [number for number in held if not exists(connection, number.customer_id)]

        for number in await self._store.read_for_api(query):
            await self._ask(number.customer_id, number.id, Delete())

    async def _ask(self, customer_id: str, number_id: str, told: inputs.Make | inputs.Change | Delete) -> Number:
        state: NumberState = await self._runner.ask(customer_id, Tell(inputs.KIND, number_id, told))
        return state.number


def _made(customer_id: str, kept: str, flow_id: str) -> Tell:
    made = inputs.Make(
        id=new_uuid(),
        customer_id=customer_id,
        number=kept,
        name="",
        detail="",
        call_flow_id=flow_id,
        message_flow_id=NIL_UUID,
    )
    return Tell(inputs.KIND, made.id, made)
