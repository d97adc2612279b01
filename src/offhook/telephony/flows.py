"""What the API does with flows and their executions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from offhook.domain.accounts.customer import chosen_webhook
from offhook.domain.catalogue.activeflow import Activeflow
from offhook.domain.catalogue.fields import Action, WebhookMethod
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.errors import InvalidError, NotFoundError
from offhook.domain.ids import NIL_UUID, is_uuid, new_uuid
from offhook.domain.inputs import activeflow, flow
from offhook.domain.step import Delete, Lookup, Tell
from offhook.flows.activeflow import ActiveflowState
from offhook.flows.addresses import fault_of_address
from offhook.flows.flow import Flow, FlowState
from offhook.flows.reading import read_actions
from offhook.flows.variables import checked_variables
from offhook.running.runner import Runner
from offhook.store.store import Store


class Flows:
    """Flows are read as a whole: what they name has to be there, and may be reached as far as can be told now."""

    def __init__(self, store: Store, runner: Runner, policy: NetworkPolicy) -> None:
        self._store = store
        self._runner = runner
        self._policy = policy

    async def create(self, customer_id: str, *, name: str, detail: str, actions: Any, on_complete_flow_id: str) -> Flow:
        """Make a flow. Raises InvalidError, whose details name the first fault of each action."""
        make = flow.Make(
            id=new_uuid(),
            customer_id=customer_id,
            name=name,
            detail=detail,
            actions=await self._read(customer_id, actions, on_complete_flow_id),
            on_complete_flow_id=on_complete_flow_id,
        )
        return await self._ask(customer_id, make.id, make)

    async def change(
        self,
        customer_id: str,
        flow_id: str,
        *,
        name: str | None,
        detail: str | None,
        actions: Any,
        on_complete_flow_id: str | None,
    ) -> Flow:
        """Change what is given; what runs goes on as it began. Raises NotFoundError, InvalidError."""
        read = await self._read(customer_id, [] if actions is None else actions, on_complete_flow_id or NIL_UUID)
        change = flow.Change(
            name=name,
            detail=detail,
            actions=None if actions is None else read,
            on_complete_flow_id=on_complete_flow_id,
        )
        return await self._ask(customer_id, flow_id, change)

    async def delete(self, customer_id: str, flow_id: str) -> Flow:
        """Delete a flow. Raises NotFoundError, and ConflictError while a number runs it."""
        return await self._ask(customer_id, flow_id, Delete())

    async def start(
        self,
        customer_id: str,
        *,
        activeflow_id: str,
        flow_id: str,
        actions: Any,
        variables: Mapping[str, str],
        webhook_uri: str,
        webhook_method: str,
    ) -> Activeflow:
        """Run a flow without a call: the one that is named, or else these actions.

        Its events go to `webhook_uri` too, if there is one.

        Raises InvalidError, NotFoundError (flow_id), ConflictError (ALREADY_EXISTS) and OverLimitError.
        """
        uri, method = chosen_webhook(("", ""), webhook_uri, webhook_method, self._policy)
        read, on_complete_flow_id = await self._read(customer_id, actions, NIL_UUID), NIL_UUID
        if flow_id != NIL_UUID:
            named = await self._store.read_for_api(lambda connection: self._flow(connection, customer_id, flow_id))
            read, on_complete_flow_id = named.actions, named.on_complete_flow_id
        start = activeflow.Start(
            id=new_uuid() if activeflow_id == NIL_UUID else activeflow_id,
            customer_id=customer_id,
            call_id=NIL_UUID,
            actions=read,
            flow_id=flow_id,
            variables=checked_variables(variables),
            on_complete_flow_id=on_complete_flow_id,
            is_asked=True,
            webhook_uri=uri,
            webhook_method=msgspec.convert(method, WebhookMethod),
        )
        return await self._tell(customer_id, start.id, start)

    async def stop(self, customer_id: str, activeflow_id: str) -> Activeflow:
        """End an execution, and with it its call. Raises NotFoundError, and ConflictError for one that is over."""
        return await self._tell(customer_id, activeflow_id, activeflow.StopAsked())

    async def delete_activeflow(self, customer_id: str, activeflow_id: str) -> Activeflow:
        """End an execution if it runs, and hide it. Raises NotFoundError."""
        return await self._tell(customer_id, activeflow_id, Delete())

    async def _tell(
        self, customer_id: str, activeflow_id: str, told: activeflow.Start | activeflow.StopAsked | Delete
    ) -> Activeflow:
        state: ActiveflowState = await self._runner.ask(customer_id, Tell(activeflow.KIND, activeflow_id, told))
        return state.activeflow

    async def _ask(self, customer_id: str, flow_id: str, told: flow.Make | flow.Change | Delete) -> Flow:
        state: FlowState = await self._runner.ask(customer_id, Tell(flow.KIND, flow_id, told))
        return state.flow

    async def _read(self, customer_id: str, actions: Any, on_complete_flow_id: str) -> tuple[Action, ...]:
        wanted = {*_flows_in(actions), on_complete_flow_id} - {NIL_UUID}
        known = await self._store.read_for_api(lambda connection: self._known(connection, customer_id, wanted))
        if on_complete_flow_id not in (NIL_UUID, *known):
            message = f"on_complete_flow_id: there is no flow {on_complete_flow_id}."
            raise InvalidError(message, field="on_complete_flow_id")

        def fault_of(action_type: str, field: str, value: str) -> str:
            if (action_type, field) == ("fetch_flow", "flow_id"):
                return "" if value.lower() in known else f"There is no flow {value[:64]}."
            return fault_of_address(action_type, field, value, self._policy)

        return read_actions(actions, check=fault_of)

    def _known(self, connection: sa.Connection, customer_id: str, wanted: Iterable[str]) -> set[str]:
        return {flow_id for flow_id in wanted if self._found(connection, customer_id, flow_id)}

    def _flow(self, connection: sa.Connection, customer_id: str, flow_id: str) -> Flow:
        found = self._found(connection, customer_id, flow_id)
        if not found:
            raise NotFoundError(f"There is no flow {flow_id}.", reason="FLOW_NOT_FOUND", field="flow_id")
        return found[0].flow

    def _found(self, connection: sa.Connection, customer_id: str, flow_id: str) -> list[FlowState]:
        place = flow.place_of(customer_id, flow_id)
        return self._store.tables.found(connection, Lookup(flow.KIND, flow.BY_ID, place, 1))


def _flows_in(actions: Any) -> set[str]:
    """The ids of other flows that actions name, whatever else is wrong with them."""
    found: set[str] = set()
    for action in actions if isinstance(actions, list) else []:
        option = action.get("option") if isinstance(action, dict) and action.get("type") == "fetch_flow" else None
        flow_id = option.get("flow_id") if isinstance(option, dict) else None
        if isinstance(flow_id, str) and is_uuid(flow_id):
            found.add(flow_id.lower())
    return found
