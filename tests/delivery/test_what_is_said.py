"""What is kept and logged of attempts that failed: enough to help with, and no secret."""

from __future__ import annotations

from datetime import timedelta

from structlog.testing import capture_logs

from offhook.delivery.log import EventLog
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.events.publication import Publication
from tests.delivery.endpoint import Endpoint
from tests.delivery.node import Node, until
from tests.ports import free_port


async def test_why_no_answer_came_is_kept_with_the_attempt_and_logged(node: Node) -> None:
    node.use(retry=RetryPolicy((timedelta(milliseconds=1),), 0))
    await node.restart()
    port = free_port()
    customer = await node.new_customer(f"http://127.0.0.1:{port}/geheim?token=geheim")
    with capture_logs() as logs:
        (event_id,) = await node.publish(customer, ["call/a"])
        await node.until_written()
    why = f"nothing listens on 127.0.0.1:{port}"
    assert [attempt.detail for attempt in await node.attempts(customer, event_id)] == [why, why]
    (delivery,) = await node.deliveries(customer)
    assert (delivery.status, delivery.last_outcome, delivery.last_detail) == ("exhausted", "refused", why)
    assert delivery.last_latency_ms is not None
    lines = [line for line in logs if line["event"] == "delivery.attempt_failed"]
    assert [(line["attempt"], line["delivery"]) for line in lines] == [(1, "pending"), (2, "exhausted")]
    for line in lines:
        assert line["log_level"] == "info"
        assert (line["event_id"], line["customer_id"], line["destination"]) == (event_id, customer, "customer")
        assert (line["outcome"], line["status_code"], line["detail"]) == ("refused", None, why)
        assert line["said"] == f"Nothing listens on 127.0.0.1:{port}."
    assert "geheim" not in str(logs)


async def test_a_success_costs_no_line_and_no_row(node: Node, endpoint: Endpoint) -> None:
    customer = await node.new_customer(endpoint.uri)
    with capture_logs() as logs:
        (event_id,) = await node.publish(customer, ["call/a"])
        await node.until_written()
    assert [line for line in logs if event_id in str(line)] == []
    (attempt,) = await node.attempts(customer, event_id)
    assert (attempt.outcome, attempt.detail) == ("succeeded", "")
    (delivery,) = await node.deliveries(customer)
    assert (delivery.last_latency_ms, delivery.last_detail) == (attempt.latency_ms, "")


async def test_a_failure_after_which_all_went_well_is_not_the_last(node: Node, endpoint: Endpoint) -> None:
    node.use(retry=RetryPolicy((timedelta(milliseconds=1),), 0))
    await node.restart()
    endpoint.answer = lambda request: 503 if len(endpoint.requests) < 2 else 200
    customer = await node.new_customer(endpoint.uri)
    (event_id,) = await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.accepted, "the second attempt")
    await node.until_written()
    first, last = await node.attempts(customer, event_id)
    assert (first.status_code, first.detail, last.status_code) == (503, "", 200)
    (delivery,) = await node.deliveries(customer)
    assert (delivery.last_outcome, delivery.last_latency_ms) == ("succeeded", last.latency_ms)


async def test_every_accepted_batch_is_one_line_at_debug(node: Node) -> None:
    customer = await node.new_customer()
    some = [Publication(type="ping", subject="", payload=b'{"type":"ping","data":{}}', id=name) for name in ("", "b")]
    with capture_logs() as logs:
        ids = await EventLog(node.store).publish(customer, some, "", b"")
    assert ids[1] == "b"
    assert logs == [
        {"event": "events.accepted", "log_level": "debug", "customer_id": customer, "count": 2, "event_ids": ids}
    ]


WARNINGS = ("delivery.destination_failing", "delivery.destination_answers", "delivery.destination_disabled")


async def test_a_run_of_failures_is_one_warning_and_its_end_another(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 503 if len(endpoint.requests) < 8 else 200
    customer = await node.new_customer(f"{endpoint.uri}?token=geheim")
    with capture_logs() as logs:
        await node.publish(customer, [f"call/{number}" for number in range(3)])
        await until(lambda: len(endpoint.accepted) == 3, "all arrive in the end")
        await node.until_written()
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert [line["event"] for line in warnings] == list(WARNINGS[:2])
    failing, answering = warnings
    assert (failing["customer_id"], failing["destination"]) == (customer, "customer")
    assert (failing["said"], failing["outcome"]) == (
        "Your server answered 503: it failed while it handled the event.",
        "server_error",
    )
    assert failing["advice"]
    assert answering["customer_id"] == customer
    assert 0 < answering["failed_for_s"] < 15
    assert "geheim" not in str(logs)


async def test_a_410_is_one_warning_too(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 410
    customer = await node.new_customer(endpoint.uri)
    with capture_logs() as logs:
        await node.publish(customer, ["call/a"])
        await until(lambda: endpoint.requests, "it is attempted")
        await until(lambda: [line for line in logs if line["event"] == WARNINGS[2]], "it is said")
    warnings = [(line["event"], line["customer_id"]) for line in logs if line["log_level"] == "warning"]
    assert warnings == [(WARNINGS[2], customer)]
