"""The OpenAPI document is sound, and nothing that it allows, or does not, gets a 5xx."""

from __future__ import annotations

import json
import re
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Err, Ok
from schemathesis.schemas import APIOperation

from offhook.domain.ids import NIL_UUID
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import OffhookServer
from tests.rounds import EXAMPLES, IS_LONG
from tests.web.conftest import NO_LIMITS, Person

# Its parts are of schemathesis's own making, and nothing to us.
Operation = APIOperation[Any, Any, Any, Any]


def test_the_document_and_its_page_are_served(server: OffhookServer) -> None:
    with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
        document = json.loads(answer.read())
    assert document["openapi"].startswith("3.1")
    for path in ("/auth/login", "/v1.0/customer", "/v1.0/events", "/v1.0/calls/{call_id}/hangup"):
        assert path in document["paths"]
    assert set(document["paths"]["/v1.0/events"]) == {"get", "post", "delete"}
    with urllib.request.urlopen(f"{server.url}/docs") as answer:
        page = answer.read().decode()
    assert "Offhook API" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_document_names_customer_id_and_the_values_that_a_field_may_have(server: OffhookServer) -> None:
    document = server.ask("GET", "/openapi.json")
    paths, schemas = document["paths"], document["components"]["schemas"]

    def parameters(path: str, method: str) -> dict[str, Any]:
        return {parameter["name"]: parameter["schema"] for parameter in paths[path][method].get("parameters", [])}

    for path, method in (("/v1.0/events", "get"), ("/v1.0/events", "post"), ("/v1.0/customer", "put")):
        assert parameters(path, method)["customer_id"] == {"type": "string", "format": "uuid"}
    for path, method in (("/v1.0/me", "get"), ("/v1.0/customers", "get"), ("/auth/login", "post"), ("/ping", "get")):
        assert "customer_id" not in parameters(path, method)
    assert parameters("/v1.0/deliveries", "get")["status"]["oneOf"][0]["enum"][0] == "pending"
    assert parameters("/readyz", "get")["switch"]["oneOf"][0]["enum"] == [""]
    assert "timeout_tls" in schemas["AttemptRow"]["properties"]["outcome"]["enum"]
    assert schemas["Customer"]["properties"]["status"]["enum"] == ["active", "frozen", "deleted"]
    assert schemas["CustomerChange"]["properties"]["webhook_method"]["oneOf"][0]["enum"][:2] == ["", "POST"]
    assert "ringing" in schemas["Call"]["properties"]["status"]["enum"]
    assert schemas["CustomerChange"]["additionalProperties"] is False
    assert paths["/v1.0/flows"]["post"]["requestBody"]["required"] is True
    for method in ("post", "delete"):
        assert paths["/v1.0/calls/{call_id}/mute"][method]["requestBody"]["required"] is False
    assert "ACCOUNT_FROZEN" in schemas["Error"]["properties"]["error"]["properties"]["reason"]["enum"]


def test_what_is_answered_is_what_the_document_allows(server: OffhookServer, person: Person) -> None:
    server.ask("POST", f"/v1.0/customers/{person.customer['id']}/freeze")
    schemas = server.ask("GET", "/openapi.json")["components"]["schemas"]
    shown = {
        "Customer": [person.customer, *server.ask("GET", "/v1.0/customers")["result"]],
        "Agent": [*server.ask("GET", "/v1.0/agents")["result"], server.ask("GET", "/v1.0/me")],
        "Readyz": [server.ask("GET", "/readyz")],
    }
    for schema, values in shown.items():
        for name, field in schemas[schema]["properties"].items():
            if "enum" in field:
                assert {value[name] for value in values} <= set(field["enum"]), name


def test_metrics_are_served(server: OffhookServer) -> None:
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        assert b"offhook_attempts_total" in answer.read()


ALWAYS_DONE = {
    "POST /v1.0/accesskeys",
    "DELETE /v1.0/accesskeys/{key_id}",
    "DELETE /v1.0/agents/{agent_id}",
    "PUT /v1.0/customer",
    "POST /v1.0/customer/webhook_secret/rotate",
    "POST /v1.0/customer/webhook_enable",
    "POST /v1.0/customers/{customer}/freeze",
    "POST /v1.0/customers/{customer}/recover",
    "DELETE /v1.0/customers/{customer}",
    "POST /v1.0/events/{event_id}/resend",
    "DELETE /v1.0/flows/{flow_id}",
    "DELETE /v1.0/numbers/{number_id}",
    "POST /v1.0/activeflows/{activeflow_id}/stop",
    "DELETE /v1.0/activeflows/{activeflow_id}",
}
"""Needs no luck with a body: if it is never done, it was not asked for in earnest."""


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[OffhookServer]:
    """A server of its own, whose secrets and accounts may be changed at random; the token is an operator's."""
    server = OffhookServer(tmp_path / "wild", "--no-switch", **NO_LIMITS)
    server.start()
    credentials = {name: server.credentials[name] for name in ("username", "password")}
    server.token = server.ask("POST", "/auth/login", credentials)["token"]
    yield server
    server.kill()


def operations(server: OffhookServer) -> list[Operation]:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found = list(schema.get_all_operations())
    assert [each.err() for each in found if isinstance(each, Err)] == []
    return [each.ok() for each in found if isinstance(each, Ok)]


def new_thing(server: OffhookServer, name: str) -> str:
    """The id of something that is there, by the name that paths have for it."""
    account = {"name": "x", "username": f"{secrets.token_hex(6)}@example.com", "password": "long enough"}
    match name:
        case "customer":
            return str(server.ask("POST", "/v1.0/customers", account)["id"])
        case "agent_id":
            return str(server.ask("POST", "/v1.0/agents", account)["id"])
        case "key_id":
            return str(server.ask("POST", "/v1.0/accesskeys", {})["id"])
        case "event_id":
            return str(server.ask("POST", "/v1.0/events", {"type": "a", "subject": "wild/1", "data": {}})["ids"][0])
        case "flow_id":
            return str(server.ask("POST", "/v1.0/flows", {})["id"])
        case "number_id":
            return str(server.ask("POST", "/v1.0/numbers", {"number": f"+{secrets.randbelow(10**12)}{10}"})["id"])
        case "activeflow_id":
            return str(server.ask("POST", "/v1.0/activeflows", {"actions": [{"type": "block"}]})["id"])
        case "call_id":  # there is none without a phone system
            return NIL_UUID
    raise AssertionError(name)


@pytest.mark.timeout(300 + 15 * EXAMPLES)
def test_no_input_gets_a_5xx(wild: OffhookServer, receiver: Receiver) -> None:
    wild.ask("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    found = operations(wild)
    assert len(found) > 35
    answered = {operation.label: _exercise(operation, wild) for operation in found}
    assert not [label for label, statuses in answered.items() if 401 in statuses], "a good token was refused"
    done = {label for label, statuses in answered.items() if min(statuses) < 300}
    assert done >= ALWAYS_DONE


def _exercise(operation: Operation, server: OffhookServer) -> set[int]:
    """Ask for it in many ways, half of them about something that is there; the statuses that came."""
    there = {name: new_thing(server, name) for name in re.findall(r"{(\w+)}", operation.path)}
    if operation.path.endswith("/recover"):
        server.ask("POST", f"/v1.0/customers/{there['customer']}/freeze")
    statuses: set[int] = set()

    @given(case=operation.as_strategy(), is_there=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        # Always the same requests, but for the many.
        derandomize=not IS_LONG,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def answers(case: schemathesis.Case[Operation], is_there: bool) -> None:
        if is_there:
            case.path_parameters = dict(there)
        answer = case.call(headers={"Authorization": f"Bearer {server.token}"}, timeout=20)
        statuses.add(answer.status_code)
        # A 503 is an answer of this server, which runs without a phone system; a 500 would be a fault.
        assert answer.status_code < 500 or (answer.status_code == 503 and "/calls/" in case.path), answer.text
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"status", "reason", "message", "request_id", "details"}

    answers()
    return statuses
