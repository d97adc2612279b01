"""The OpenAPI document is sound, and nothing that it allows, or does not, gets a 5xx."""

from __future__ import annotations

import json
import urllib.request

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.schemas import APIOperation

from tests.acceptance.server import OffhookServer

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
