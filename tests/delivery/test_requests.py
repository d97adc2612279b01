"""What an endpoint is sent, header by header (contract, section 4)."""

from __future__ import annotations

import time

import pytest
import standardwebhooks

from offhook.domain.delivery.signature import new_secret
from offhook.outbound.port import HeaderFields
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import customers, destinations
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until


async def test_headers_and_bytes_are_the_contract_s_and_the_id_is_the_same_on_each_attempt(
    node: Node, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda request: 200 if request.attempt == 3 else 500
    customer = await node.new_customer(endpoint.uri)
    secret = (await node.store.read(lambda c: destinations.webhook_of(c, customer))).secrets[0]
    (event_id,) = await node.publish(customer, ["call/one"], b'{ "id":"one"}')
    await until(lambda: endpoint.accepted, "the third attempt")
    assert [request.attempt for request in endpoint.requests] == [1, 2, 3]
    for request in endpoint.requests:
        assert request.method == "POST"
        assert request.body == b'{"type":"call_updated","data":{ "id":"one"}}'
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == "Offhook/test"
        assert request.id == event_id
        assert request.subject == "call/one"
        assert request.sequence == 1
        assert request.headers["offhook-position"] == "1"
        assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 30
        assert request.headers["x-voipbin-signature"].startswith("sha256=")
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)


async def test_sequence_counts_per_subject_and_position_over_all(node: Node, endpoint: Endpoint) -> None:
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a", "call/b", "call/a", ""])
    await until(lambda: len(endpoint.accepted) == 4, "all four")
    seen = {
        (request.subject, request.headers.get("offhook-sequence"), request.headers["offhook-position"])
        for request in endpoint.accepted
    }
    assert seen == {("call/a", "1", "1"), ("call/b", "1", "2"), ("call/a", "2", "3"), ("", None, "4")}


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
async def test_every_method_carries_the_same_body(node: Node, endpoint: Endpoint, method: str) -> None:
    customer = await node.new_customer(endpoint.uri, method)
    await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.accepted, "it arrives")
    assert (endpoint.accepted[0].method, endpoint.accepted[0].body) == (
        method,
        b'{"type":"call_updated","data":{"n":1}}',
    )


def verifies(request: Request, secret: str) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


async def test_after_a_rotation_both_secrets_sign_until_the_old_one_s_time_is_over(
    node: Node, endpoint: Endpoint
) -> None:
    customer = await node.new_customer(endpoint.uri)
    old = (await node.store.read(lambda c: destinations.webhook_of(c, customer))).secrets[0]
    new = new_secret()
    until_us = node.store.clock.now_us() + 700_000

    def rotate(tx: Transaction) -> None:
        customers.change_customer(
            tx,
            customer,
            webhook_secret=new,
            old_webhook_secret=old,
            old_webhook_secret_until=until_us,
        )
        destinations.secrets_changed(tx, customer)

    await node.store.write(rotate)
    await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.accepted, "the first")
    assert verifies(endpoint.accepted[0], old)
    assert verifies(endpoint.accepted[0], new)
    await until(lambda: time.time_ns() // 1000 > until_us, "the old secret's time is over")
    await node.publish(customer, ["call/a"])
    await until(lambda: len(endpoint.accepted) == 2, "the second")
    assert verifies(endpoint.accepted[1], new)
    assert not verifies(endpoint.accepted[1], old)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\ny", "a\ry", "a\0b"])
def test_a_value_that_ends_its_line_is_never_sent(value: str) -> None:
    for fields in (
        HeaderFields.of({"webhook-id": "evt", "offhook-subject": value}),
        HeaderFields(f"a: {value}\r\n", 1),
    ):
        with pytest.raises(ValueError, match="line break"):
            fields.check()


def test_fields_read_as_they_were_given() -> None:
    given = {"webhook-id": "evt_1", "offhook-subject": "a: b/c", "empty": ""}
    fields = HeaderFields.of(given)
    fields.check()
    assert fields.as_dict() == given
