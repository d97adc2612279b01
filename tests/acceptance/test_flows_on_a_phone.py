"""A customer's flow is made and given to a number; a real phone dials it, types, and every step arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.domain.ids import NIL_UUID
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.acceptance.test_phone_call import PhoneServer, arrivals, wait_for
from tests.sipp.phone import phone

MENU = Path(__file__).parents[2] / "examples" / "flows" / "menu.json"


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[PhoneServer]:
    server = PhoneServer(tmp_path / "data")
    server.start()
    server.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri, "webhook_method": "POST"})
    yield server
    assert server.stop() == 0


def steps(receiver: Receiver, kind: str, field: str) -> list[tuple[str, str]]:
    """What was told of calls or activeflows: the event's type, and the type of the action that it shows."""
    return [(one.type.partition("_")[2], one.event["data"][field]["type"]) for one in arrivals(receiver, kind)]


def test_the_menu_of_the_examples_is_walked_by_a_phone(server: PhoneServer, receiver: Receiver, tmp_path: Path) -> None:
    checked = server.command("flow", "check", str(MENU))
    assert checked.stdout == f"{MENU}: 9 actions, no faults.\n"
    made = server.command("flow", "create", str(MENU))
    flow_id = made.stdout.split()[2]
    assert server.command("number", "set", "100", "--flow", flow_id).stdout == f"100 runs the flow {flow_id}.\n"

    async def call() -> None:
        typing = ("-key", "digit", "7")
        async with phone("types_a_digit", server.sip, tmp_path / "sipp", pause_ms=500, options=typing) as caller:
            await caller.done()

    asyncio.run(call())
    wait_for(receiver, "call_hungup")
    wait_until(lambda: "activeflow_deleted" in [one.type for one in receiver.first_arrivals()], "the flow has ended")
    assert steps(receiver, "call", "action") == [
        ("created", ""),
        ("ringing", "answer"),
        ("answered", "answer"),
        ("updated", "talk"),
        ("updated", "digits_receive"),
        ("updated", "talk"),
        ("updated", "hangup"),
        ("updated", "hangup"),
        ("hungup", "hangup"),
    ]
    assert steps(receiver, "activeflow", "current_action") == [
        ("created", ""),
        ("updated", "answer"),
        ("updated", "talk"),
        ("updated", "digits_receive"),
        ("updated", "talk"),
        ("updated", "hangup"),
        ("deleted", "hangup"),
    ]
    last = arrivals(receiver)[-1].event["data"]
    assert (last["flow_id"], last["hangup_by"], last["hangup_reason"]) == (flow_id, "local", "normal")
    executed = arrivals(receiver, "activeflow")[-1].event["data"]["executed_actions"]
    assert [action["type"] for action in executed] == ["answer", "talk", "digits_receive", "branch", "talk", "hangup"]
    # What was typed leaves with no event, and is in no log.
    assert all(b'"7"' not in one.body for one in receiver.received)


def test_a_number_that_nobody_has_or_that_runs_nothing_is_404_and_no_call(
    server: PhoneServer, receiver: Receiver, tmp_path: Path
) -> None:
    server.ask("PUT", f"/v1.0/numbers/{number_id(server, '100')}/flow_ids", {"call_flow_id": NIL_UUID})

    async def call(dialled: str) -> None:
        async with phone("refused_404", server.sip, tmp_path / "sipp", dialled=dialled) as caller:
            await caller.done()

    for dialled in ("100", "+15550001111", "nobody"):
        asyncio.run(call(dialled))
    wait_until(lambda: server.log.read_text().count('"call.refused"') == 3, "each is in the log")
    assert server.ask("GET", "/v1.0/calls")["result"] == []
    server.ask("POST", "/v1.0/events", {"type": "last_of_all", "data": {}})
    wait_until(lambda: [one.type for one in receiver.first_arrivals()] == ["last_of_all"], "nothing else was told")


def number_id(server: PhoneServer, number: str) -> str:
    return str(server.ask("GET", f"/v1.0/numbers?number={number}")["result"][0]["id"])
