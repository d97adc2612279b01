"""The OpenAPI document is sound, and nothing that it allows, or does not, gets a 5xx."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.schemas import APIOperation

from tests.acceptance.server import OffhookServer
from tests.web.conftest import Person

_EXAMPLES = 12


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
    assert "timeout_tls" in schemas["AttemptRow"]["properties"]["outcome"]["enum"]
    assert schemas["Customer"]["properties"]["status"]["enum"] == ["active", "frozen", "deleted"]
    assert schemas["CustomerChange"]["properties"]["webhook_method"]["oneOf"][0]["enum"][:2] == ["", "POST"]
    assert "ringing" in schemas["Call"]["properties"]["status"]["enum"]
    assert schemas["CustomerChange"]["additionalProperties"] is False
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


def operations(server: OffhookServer) -> list[APIOperation]:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


def test_no_input_gets_a_5xx(server: OffhookServer) -> None:
    found = operations(server)
    assert len(found) > 35
    for operation in found:
        _exercise(operation, server)


def _exercise(operation: APIOperation, server: OffhookServer) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def answers(case: schemathesis.Case) -> None:
        # Another customer's secret would change under the feet of the tests beside this one.
        token = "nonsense" if case.path.endswith("/rotate") else server.token
        answer = case.call(headers={"Authorization": f"Bearer {token}"}, timeout=20)
        # A 503 is an answer of this server, which runs without a phone system; a 500 would be a fault.
        assert answer.status_code < 500 or (answer.status_code == 503 and "/calls/" in case.path), answer.text
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"status", "reason", "message", "request_id", "details"}

    answers()
