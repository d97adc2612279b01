"""POST /v1.0/customer/webhook_test: one real, signed sample, now."""

from __future__ import annotations

import pytest
import standardwebhooks

from offhook.delivery.tester import SampleSender
from offhook.domain.errors import ConflictError, InvalidError
from offhook.store.queries import destinations
from tests.delivery.endpoint import Endpoint
from tests.delivery.node import Node


@pytest.fixture
def tester(node: Node) -> SampleSender:
    return SampleSender(node.store, node.sender, "Offhook/test")


async def test_a_sample_is_signed_and_is_no_part_of_the_log(
    node: Node, endpoint: Endpoint, tester: SampleSender
) -> None:
    customer = await node.new_customer(endpoint.uri)
    secret = (await node.store.read(lambda c: destinations.webhook_of(c, customer))).secrets[0]
    attempt = await tester.send_test(customer, "call_hungup")
    assert (attempt.number, attempt.outcome, attempt.status_code, attempt.response) == (1, "succeeded", 200, b"ok")
    assert attempt.uri == endpoint.uri
    (request,) = endpoint.requests
    standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    assert request.headers["offhook-test"] == "true"
    assert request.subject == f"call/{request.data['id']}"
    assert "offhook-position" not in request.headers
    assert "offhook-sequence" not in request.headers
    assert await node.deliveries(customer) == []


async def test_a_failure_is_told_and_not_retried(node: Node, endpoint: Endpoint, tester: SampleSender) -> None:
    endpoint.answer = lambda request: 404
    customer = await node.new_customer(endpoint.uri)
    assert (await tester.send_test(customer, "call_created")).outcome == "client_error"
    assert len(endpoint.requests) == 1


async def test_it_is_sent_also_while_the_webhook_is_disabled(
    node: Node, endpoint: Endpoint, tester: SampleSender
) -> None:
    customer = await node.new_customer(endpoint.uri)
    webhook = await node.store.read(lambda c: destinations.webhook_of(c, customer))
    await node.store.write(lambda tx: destinations.disable(tx, webhook.key, "gone", uri_key=webhook.uri_key))
    assert (await tester.send_test(customer, "call_created")).outcome == "succeeded"


async def test_without_a_uri_or_with_an_unknown_type_nothing_is_sent(
    node: Node, endpoint: Endpoint, tester: SampleSender
) -> None:
    with pytest.raises(ConflictError) as off:
        await tester.send_test(await node.new_customer(), "call_created")
    assert off.value.reason == "WEBHOOK_OFF"
    customer = await node.new_customer(endpoint.uri)
    with pytest.raises(InvalidError) as unknown:
        await tester.send_test(customer, "call_imagined")
    assert unknown.value.field == "type"
    assert (await tester.send_test(customer, "call_created")).outcome == "succeeded"
    assert len(endpoint.requests) == 1
