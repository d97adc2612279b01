"""Flows, numbers and activeflows over REST, on a node without a phone system."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from offhook.domain.ids import NIL_UUID, new_uuid
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer, wait_until
from tests.web.conftest import Person

MENU = [
    {"id": "start", "type": "answer"},
    {"type": "digits_receive", "option": {"length": 1}},
    {"type": "branch", "option": {"target_ids": {"1": "start"}, "default_target_id": "bye"}},
    {"id": "bye", "type": "hangup"},
]


def new_number() -> str:
    return f"+{secrets.randbelow(9 * 10**11) + 10**11}"


def made(person: Person, **flow: Any) -> Any:
    status, answer = person.request("POST", "/v1.0/flows", flow)
    assert status == 200, answer
    return answer


def refused(answer: tuple[int, Any]) -> tuple[int, str, str]:
    status, body = answer
    return status, body["error"]["reason"], body["error"]["details"][0]["field"] if body["error"]["details"] else ""


def test_a_flow_is_made_changed_and_deleted(person: Person) -> None:
    flow = made(person, name="Menu", actions=MENU)
    first, _, branch, last = flow["actions"]
    assert (flow["type"], flow["name"], flow["on_complete_flow_id"]) == ("flow", "Menu", NIL_UUID)
    # Words have become ids, and every reference to them has followed.
    assert branch["option"] == {"target_ids": {"1": first["id"]}, "default_target_id": last["id"]}
    path = f"/v1.0/flows/{flow['id']}"
    assert person.request("GET", path) == (200, flow)
    _, other = person.request("PUT", path, {"name": "Other"})
    assert (other["name"], other["actions"], other["tm_update"] is not None) == ("Other", flow["actions"], True)
    assert person.request("GET", "/v1.0/flows")[1]["result"] == [other]
    _, deleted = person.request("DELETE", path)
    assert deleted["tm_delete"] is not None
    for method in ("GET", "PUT", "DELETE"):
        assert refused(person.request(method, path, {} if method == "PUT" else None)) == (404, "FLOW_NOT_FOUND", "id")
    assert person.request("GET", "/v1.0/flows")[1] == {"result": [], "next_page_token": ""}


def test_a_flow_with_faults_names_the_first_one_of_each_action(person: Person) -> None:
    actions = [
        {"type": "tlak", "option": {"text": "hi"}},
        {"type": "answer"},
        {"type": "sleep", "option": {"duration": -1, "durration": 2}},
        {"type": "fetch_flow", "option": {"flow_id": new_uuid()}},
        {"type": "play", "option": {"stream_urls": ["sound:../etc/passwd"]}},
        {"type": "webhook_send", "option": {"uri": "http://10.0.0.1/"}},
        {"type": "goto", "option": {"target_id": "nowhere"}},
    ]
    status, answer = person.request("POST", "/v1.0/flows", {"actions": actions})
    assert (status, answer["error"]["reason"]) == (400, "INVALID_ACTION_TYPE")
    assert "talk" in answer["error"]["message"]
    assert [(detail["index"], detail["field"]) for detail in answer["error"]["details"]] == [
        (0, "actions[0].type"),
        (2, "actions[2].option.duration"),
        (3, "actions[3].option.flow_id"),
        (4, "actions[4].option.stream_urls"),
        (5, "actions[5].option.uri"),
        (6, "actions[6].option.target_id"),
    ]
    assert person.request("GET", "/v1.0/flows")[1]["result"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"actions": "answer"}, "actions"),
        ({"actions": [{"type": "empty"}] * 501}, "actions"),
        ({"on_complete_flow_id": "x"}, "on_complete_flow_id"),
        ({"on_complete_flow_id": "3d5d1c3a-1c6e-4a38-9a2e-0a7b3f2f1f01"}, "on_complete_flow_id"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_a_body_with_a_fault_names_it(person: Person, body: dict[str, Any], field: str) -> None:
    status, answer = person.request("POST", "/v1.0/flows", body)
    assert (status, answer["error"]["details"][0]["field"]) == (400, field)


def test_another_customers_flow_is_not_there(server: OffhookServer, person: Person) -> None:
    flow = server.ask("POST", "/v1.0/flows", {"actions": MENU})
    path = f"/v1.0/flows/{flow['id']}"
    for method in ("GET", "PUT", "DELETE"):
        assert person.request(method, path, {} if method == "PUT" else None)[0] == 404
    fetching = {"actions": [{"type": "fetch_flow", "option": {"flow_id": flow["id"]}}]}
    assert person.request("POST", "/v1.0/flows", fetching)[0] == 400
    assert refused(person.request("POST", "/v1.0/activeflows", {"flow_id": flow["id"]}))[:2] == (404, "FLOW_NOT_FOUND")
    number = server.ask(
        "POST", f"/v1.0/numbers?customer_id={person.customer['id']}", {"number": new_number(), "name": "theirs"}
    )
    changed = person.request("PUT", f"/v1.0/numbers/{number['id']}/flow_ids", {"call_flow_id": flow["id"]})
    assert refused(changed) == (400, "INVALID_ARGUMENT", "call_flow_id")


def test_a_number_is_given_by_an_operator_and_used_by_its_customer(server: OffhookServer, person: Person) -> None:
    digits = new_number()
    written = f"{digits[:4]} ({digits[4:7]}) {digits[7:]}"
    assert refused(person.request("POST", "/v1.0/numbers", {"number": written}))[:2] == (403, "PERMISSION_DENIED")
    path = f"/v1.0/numbers?customer_id={person.customer['id']}"
    number = server.ask("POST", path, {"number": written, "type": "normal", "call_flow_id": ""})
    assert (number["number"], number["customer_id"], number["call_flow_id"]) == (
        digits,
        person.customer["id"],
        NIL_UUID,
    )
    again = server.request("POST", path, {"number": digits[1:]}, token=server.token)
    assert refused(again) == (409, "ALREADY_EXISTS", "number")

    flow = made(person, actions=MENU)
    own = f"/v1.0/numbers/{number['id']}"
    _, changed = person.request("PUT", own, {"name": "Hot line", "message_flow_id": flow["id"]})
    _, changed = person.request("PUT", f"{own}/flow_ids", {"call_flow_id": flow["id"]})
    assert (changed["name"], changed["call_flow_id"], changed["message_flow_id"]) == (
        "Hot line",
        flow["id"],
        flow["id"],
    )
    assert person.request("GET", own) == (200, changed)
    _, found = person.request("GET", f"/v1.0/numbers?number={digits[1:]}")
    assert found["result"] == [changed]
    assert person.request("GET", "/v1.0/numbers?number=1")[1]["result"] == []

    # What a number runs is not deleted.
    assert refused(person.request("DELETE", f"/v1.0/flows/{flow['id']}"))[:2] == (409, "STATE_INVALID")
    assert refused(person.request("DELETE", own))[:2] == (403, "PERMISSION_DENIED")
    server.ask("DELETE", f"{own}?customer_id={person.customer['id']}")
    assert person.request("GET", own)[0] == 404
    assert person.request("DELETE", f"/v1.0/flows/{flow['id']}")[0] == 200
    # Then it is free again, for anybody.
    assert server.ask("POST", "/v1.0/numbers", {"number": digits[1:]})["number"] == digits[1:]


def test_the_number_of_a_customer_who_was_deleted_is_free_again(server: OffhookServer, person: Person) -> None:
    number = {"number": new_number()}
    server.ask("POST", f"/v1.0/numbers?customer_id={person.customer['id']}", number)
    server.ask("POST", f"/v1.0/customers/{person.customer['id']}/freeze")
    assert refused(server.request("POST", "/v1.0/numbers", number))[0] == 409
    server.ask("DELETE", f"/v1.0/customers/{person.customer['id']}")
    assert server.ask("POST", "/v1.0/numbers", number)["number"] == number["number"]


@pytest.mark.parametrize("wrong", ["1", "+1555abc", "1" * 16, "", "++15", "１２３"])
def test_what_is_no_number_is_refused(server: OffhookServer, wrong: str) -> None:
    answer = server.request("POST", "/v1.0/numbers", {"number": wrong}, token=server.token)
    assert refused(answer) == (400, "INVALID_ARGUMENT", "number")


def test_a_first_start_makes_the_greeting_and_two_numbers(server: OffhookServer) -> None:
    flows = [flow for flow in server.ask("GET", "/v1.0/flows")["result"] if flow["name"] == "Greeting"]
    assert len(flows) == 1
    assert [action["type"] for action in flows[0]["actions"]] == ["sleep", "answer", "play", "echo"]
    numbers = server.ask("GET", "/v1.0/numbers")["result"]
    runs = {number["number"]: number["call_flow_id"] for number in numbers}
    assert (runs["+15559876543"], runs["100"]) == (flows[0]["id"], flows[0]["id"])


def test_an_activeflow_without_a_call_runs_and_ends(person: Person, receiver: Receiver) -> None:
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    after = made(person, actions=[{"type": "sleep", "option": {"duration": 1}}])
    flow = made(
        person,
        actions=[
            {"type": "variable_set", "option": {"key": "who", "value": "${name}!"}},
            {"type": "talk", "option": {"text": "only to a call"}},
            {"type": "sleep", "option": {"duration": 50}},
        ],
        on_complete_flow_id=after["id"],
    )
    own_id = new_uuid()
    body = {"id": own_id, "flow_id": flow["id"], "variables": {"name": "Ada"}}
    status, started = person.request("POST", "/v1.0/activeflows", body)
    assert (status, started["id"], started["status"], started["reference_type"]) == (201, own_id, "running", "api")
    assert refused(person.request("POST", "/v1.0/activeflows", body)) == (409, "ALREADY_EXISTS", "id")

    def ended() -> bool:
        return [received.type for received in receiver.first_arrivals()].count("activeflow_deleted") == 2

    wait_until(ended, "both have ended")
    mine = [one for one in receiver.first_arrivals() if one.subject == f"activeflow/{own_id}"]
    assert [one.type for one in mine] == ["activeflow_created", "activeflow_updated", "activeflow_deleted"]
    last = mine[-1].event["data"]
    assert [(action["type"], bool(action["error"])) for action in last["executed_actions"]] == [
        ("variable_set", False),
        ("talk", True),
        ("sleep", False),
    ]
    assert (last["status"], last["tm_delete"]) == ("ended", None)
    following = next(one.event["data"] for one in receiver.first_arrivals() if one.subject != f"activeflow/{own_id}")
    assert (following["flow_id"], following["reference_activeflow_id"]) == (after["id"], own_id)

    assert refused(person.request("POST", f"/v1.0/activeflows/{own_id}/stop"))[:2] == (409, "STATE_INVALID")
    assert len(person.request("GET", "/v1.0/activeflows?status=ended")[1]["result"]) == 2
    assert person.request("GET", "/v1.0/activeflows?status=running")[1]["result"] == []
    assert person.request("GET", f"/v1.0/activeflows?reference_id={new_uuid()}")[1]["result"] == []
    assert refused(person.request("GET", "/v1.0/activeflows?status=over"))[:2] == (400, "INVALID_REQUEST_PARAMETER")
    assert person.request("DELETE", f"/v1.0/activeflows/{own_id}")[0] == 200
    assert person.request("GET", f"/v1.0/activeflows/{own_id}")[0] == 404
    assert refused(person.request("DELETE", f"/v1.0/activeflows/{own_id}")) == (404, "ACTIVEFLOW_NOT_FOUND", "id")


def test_what_blocks_is_stopped_or_deleted(person: Person) -> None:
    block = {"actions": [{"type": "block"}]}
    _, first = person.request("POST", "/v1.0/activeflows", block)
    _, second = person.request("POST", "/v1.0/activeflows", block)
    status, stopped = person.request("POST", f"/v1.0/activeflows/{first['id']}/stop")
    assert (status, stopped["status"]) == (200, "ended")
    assert person.request("GET", f"/v1.0/activeflows/{first['id']}") == (200, stopped)
    _, deleted = person.request("DELETE", f"/v1.0/activeflows/{second['id']}")
    assert (deleted["status"], deleted["tm_delete"] is not None) == ("ended", True)
    assert [one["id"] for one in person.request("GET", "/v1.0/activeflows")[1]["result"]] == [first["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"variables": {str(number): "" for number in range(101)}},
        {"variables": {"a": "x" * 40_000}},
        {"variables": {"a": 1}},
        {"actions": [{"type": "nothing"}]},
        {"flow_id": "x"},
    ],
)
def test_a_start_with_a_fault_starts_nothing(person: Person, body: dict[str, Any]) -> None:
    assert person.request("POST", "/v1.0/activeflows", body)[0] == 400
    assert person.request("GET", "/v1.0/activeflows")[1]["result"] == []


@pytest.mark.parametrize(
    "query", ["status=over", "direction=up", "since=yesterday", "until=2026-05-02T09:00:00", "activeflow_id=x"]
)
def test_a_filter_that_cannot_be_is_refused(person: Person, query: str) -> None:
    status, answer = person.request("GET", f"/v1.0/calls?{query}")
    assert (status, answer["error"]["details"][0]["field"]) == (400, query.partition("=")[0])
