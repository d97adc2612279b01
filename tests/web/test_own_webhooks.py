"""An execution's own webhook: a second address, with a health of its own, for the events that carry its id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.web.conftest import Person

TYPES = ["activeflow_created", "activeflow_updated", "activeflow_deleted"]
FLOW = [{"type": "sleep", "option": {"duration": 50}}]


@pytest.fixture
def own() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def start(person: Person, **body: Any) -> Any:
    status, answer = person.request("POST", "/v1.0/activeflows", {"actions": FLOW, **body})
    assert status == 201, answer
    return answer


def types(receiver: Receiver) -> list[str]:
    return [one.type for one in receiver.first_arrivals()]


def test_its_events_go_to_both_by_the_methods_of_each(person: Person, receiver: Receiver, own: Receiver) -> None:
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    shown = start(person, webhook_uri=own.uri, webhook_method="PUT")
    assert (shown["webhook_uri"], shown["webhook_method"]) == (own.uri, "PUT")
    start(person)
    wait_until(lambda: types(own) == TYPES and len(types(receiver)) == 6, "all has come")
    assert {one.method for one in own.received} == {"PUT"}
    assert {one.subject for one in own.received} == {f"activeflow/{shown['id']}"}
    secret = person.request("GET", "/v1.0/customer")[1]["webhook_secret"]
    own.verify_all(secret)
    # Nothing of anybody else's.
    person.request("POST", "/v1.0/events", {"type": "order_paid", "data": {}})
    wait_until(lambda: "order_paid" in types(receiver), "it has come")
    assert types(own) == TYPES


def test_it_works_while_the_customers_own_is_off(person: Person, own: Receiver) -> None:
    start(person, webhook_uri=own.uri)
    wait_until(lambda: types(own) == TYPES, "all has come")
    assert {one.method for one in own.received} == {"POST"}


def test_an_answer_410_disables_it_alone(person: Person, receiver: Receiver, own: Receiver) -> None:
    own.answer = lambda received: 410
    person.request("PUT", "/v1.0/customer", {"webhook_uri": receiver.uri})
    shown = start(person, webhook_uri=own.uri)
    wait_until(lambda: len(types(receiver)) == 3, "the customer hears all")
    assert len(own.received) == 1
    assert person.request("GET", "/v1.0/customer")[1]["webhook_disabled_reason"] == ""
    _, held = person.request("GET", "/v1.0/deliveries?status=held")
    assert {one["destination"] for one in held["result"]} == {f"activeflow/{shown['id']}"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"webhook_uri": "ftp://example.com"}, "webhook_uri"),
        ({"webhook_uri": "http://10.0.0.1/"}, "webhook_uri"),
        ({"webhook_uri": "http://192.0.2.1:99/", "webhook_method": "PATCH"}, "webhook_uri"),
        ({"webhook_uri": "https://example.com", "webhook_method": "PATCH"}, "webhook_method"),
    ],
)
def test_what_cannot_be_sent_to_is_refused(person: Person, body: dict[str, str], field: str) -> None:
    status, answer = person.request("POST", "/v1.0/activeflows", body)
    assert (status, answer["error"]["details"][0]["field"]) == (400, field)
    assert person.request("GET", "/v1.0/activeflows")[1]["result"] == []
