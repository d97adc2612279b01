"""Destinations that are switched off, disabled, pointed elsewhere, probed; resend, replay and erasure."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from functools import partial

import pytest

from offhook.delivery.finishing import Finisher
from offhook.delivery.log import erase_subject, replay, resend
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.events.replay import Replay
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import customers, destinations
from tests.delivery.endpoint import Endpoint, Request
from tests.delivery.node import Node, until

SLOW = RetryPolicy(schedule=(timedelta(hours=1),) * 11)


async def use(node: Node, **changes: object) -> None:
    await node.stop()
    node.use(**changes)
    await node.start()


async def test_what_is_pending_goes_to_the_new_uri_at_once_and_in_order(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint
) -> None:
    await use(node, retry=SLOW)
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"] * 3 + ["call/b"] * 2)
    await until(lambda: len(endpoint.requests) == 2, "the first of each has failed")
    await node.point(customer, other_endpoint.uri)
    await node.until_written()
    assert len(other_endpoint.accepted) == 5
    other_endpoint.check_order()
    assert len(endpoint.requests) == 2


async def test_an_attempt_begun_before_a_uri_change_never_touches_the_new_health(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint
) -> None:
    gate = asyncio.Event()

    async def gone_later(request: Request) -> int:
        await gate.wait()
        return 410

    endpoint.answer = gone_later
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, [f"call/{number}" for number in range(12)])
    await until(lambda: len(endpoint.requests) == 12, "all under way")
    await node.point(customer, other_endpoint.uri)
    await node.publish(customer, ["call/new"])
    await until(lambda: other_endpoint.accepted, "the new uri is in use")
    gate.set()
    await node.until_written()
    assert len(other_endpoint.accepted) == 13
    assert await node.held_reason(customer) == ""


async def test_410_disables_at_once_holds_what_is_pending_and_setting_the_uri_resumes(
    node: Node, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda request: 410
    customer = await node.new_customer(endpoint.uri)
    (event_id,) = await node.publish(customer, ["call/a"])
    await until(lambda: endpoint.requests, "the attempt")
    await node.publish(customer, ["call/a", "call/b"])
    while await node.held_reason(customer) != "gone":
        await asyncio.sleep(0.01)
    held = await node.deliveries(customer, "held")
    assert {row.held_reason for row in held} == {"gone"}
    assert event_id in {row.event_id for row in held}
    (attempt,) = await node.attempts(customer, event_id)
    assert (attempt.outcome, attempt.status_code, attempt.response) == ("gone", 410, b"ok")
    asked = len(endpoint.requests)
    endpoint.answer = lambda request: 200
    await node.restart()
    assert len(endpoint.requests) == asked
    await node.point(customer, endpoint.uri)
    await node.until_written()
    endpoint.check_order()
    assert len(endpoint.accepted) == 3


async def test_webhook_enable_resumes_too(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 410
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"])
    while await node.held_reason(customer) != "gone":
        await asyncio.sleep(0.01)
    endpoint.answer = lambda request: 200
    await node.store.write(lambda tx: destinations.enable_webhook(tx, customer))
    await node.until_written()
    assert len(endpoint.accepted) == 1


async def test_an_empty_uri_holds_and_events_while_off_are_not_sent_until_replayed(
    node: Node, endpoint: Endpoint
) -> None:
    await use(node, retry=SLOW)
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a", "call/a"])
    await until(lambda: endpoint.requests, "the first has failed")
    await node.point(customer, "", "")
    (missed,) = await node.publish(customer, ["call/b"])
    assert [row.held_reason for row in await node.deliveries(customer, "held")] == ["off", "off"]
    endpoint.answer = lambda request: 200
    await node.point(customer, endpoint.uri)
    await node.until_written()
    assert len(endpoint.accepted) == 2
    assert await replay(node.store, customer, Replay(after=0)) == 1
    await until(lambda: len(endpoint.accepted) == 3, "the replayed one")
    assert endpoint.accepted[-1].id == missed


async def test_no_success_for_as_long_as_allowed_disables(node: Node, endpoint: Endpoint) -> None:
    await use(node, disable_after=timedelta(seconds=0.3))
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"])
    while await node.held_reason(customer) != "failing":
        await asyncio.sleep(0.01)
    (row,) = await node.deliveries(customer)
    assert row.status == "held"
    assert row.attempt_count >= 2


async def test_after_ten_failures_one_event_at_a_time_with_growing_gaps(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, [f"call/{number}" for number in range(10)])
    await until(lambda: len(endpoint.requests) >= 12, "ten failures and two probes")
    probes = [request.at_s for request in endpoint.requests[9:12]]
    assert 0.95 < probes[1] - probes[0] < 1.95
    assert 1.95 < probes[2] - probes[1] < 3.9
    endpoint.answer = lambda request: 200
    await node.until_written()
    assert len(endpoint.accepted) == 10


async def test_a_restart_probes_a_failing_destination_first(node: Node, endpoint: Endpoint) -> None:
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, [f"call/{number}" for number in range(40)])
    await until(lambda: len(endpoint.requests) >= 10, "it is probed")
    await node.stop()
    before = len(endpoint.requests)
    await node.start()
    await until(lambda: len(endpoint.requests) >= before + 2, "two probes")
    first, second = endpoint.requests[before : before + 2]
    assert second.at_s - first.at_s > 0.9
    endpoint.answer = lambda request: 200
    await node.until_written()
    assert len({request.id for request in endpoint.accepted}) == 40


async def test_exhausted_after_the_last_attempt_and_a_resend_is_a_delivery_of_its_own(
    node: Node, endpoint: Endpoint
) -> None:
    await use(node, retry=RetryPolicy(schedule=(timedelta(milliseconds=20),) * 3))
    endpoint.answer = lambda request: 500
    customer = await node.new_customer(endpoint.uri)
    (event_id, *_) = await node.publish(customer, ["call/a", "call/a"])
    await node.until_written()
    rows = await node.deliveries(customer, "exhausted")
    assert [row.attempt_count for row in rows] == [4, 4]
    assert node.registry.get_sample_value("offhook_deliveries_exhausted_total") == 2
    endpoint.answer = lambda request: 200
    await node.store.write(lambda tx: resend(tx, customer, event_id))
    await node.until_written()
    assert [(request.id, request.attempt) for request in endpoint.accepted] == [(event_id, 1)]
    attempts = await node.attempts(customer, event_id)
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4, 1]
    assert attempts[-1].outcome == "succeeded"


async def test_a_resend_hurries_one_that_waits_whether_it_holds_its_subject_or_not(
    node: Node, endpoint: Endpoint
) -> None:
    for hold_s in (30, 0):
        await use(node, retry=SLOW, order_hold=timedelta(seconds=hold_s))
        endpoint.answer = lambda request: 500
        customer = await node.new_customer(endpoint.uri)
        (event_id,) = await node.publish(customer, ["call/a"])
        while not await node.attempts(customer, event_id):
            await asyncio.sleep(0.01)
        endpoint.answer = lambda request: 200
        await node.store.write(partial(resend, customer_id=customer, event_id=event_id))
        await node.until_written()
        assert [attempt.number for attempt in await node.attempts(customer, event_id)] == [1, 2]


async def test_a_replay_keeps_the_order_and_is_retried_like_any_other(node: Node, endpoint: Endpoint) -> None:
    customer = await node.new_customer(endpoint.uri)
    ids = await node.publish(customer, ["call/a"] * 300)
    await node.until_written()
    endpoint.requests.clear()
    endpoint.accepted.clear()
    endpoint.answer = lambda request: 503 if request.attempt == 1 and request.sequence % 50 == 0 else 200
    assert await replay(node.store, customer, Replay(after=0, only="all")) == 300
    await node.until_written()
    assert [request.id for request in endpoint.accepted] == ids


async def failed_once(node: Node, endpoint: Endpoint, count: int) -> tuple[str, list[str]]:
    """A customer with `count` events that have failed once and wait for an hour, each in an order of its own."""
    await use(node, retry=SLOW, order_hold=timedelta())
    endpoint.answer = lambda request: 200 if request.data == {"n": 0} else 500
    customer = await node.new_customer(endpoint.uri)
    ids: list[str] = []
    for start in range(0, count, 8):
        # A success in between, so that the destination is never probed.
        ids += await node.publish(customer, [f"call/{number}" for number in range(start, min(start + 8, count))])
        seen = len(ids) + start // 8
        await until(partial(endpoint.was_asked, seen), "they have failed")
        (good,) = await node.publish(customer, ["call/good"], b'{"n":0}')
        await until(partial(endpoint.has_accepted, good), "one comes through")
    await until(lambda: not node.recorder.unwritten_count, "all is written")
    endpoint.requests.clear()
    return customer, ids


@pytest.mark.parametrize("count", [5, 250])
async def test_what_failed_goes_to_the_new_uri_at_once_and_not_once_more_to_the_old_one(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint, count: int
) -> None:
    customer, ids = await failed_once(node, endpoint, count)
    await node.running.add(Finisher(node.store))
    await node.point(customer, other_endpoint.uri)
    await until(lambda: len(other_endpoint.accepted) == count, "all of them", 30)
    assert {request.id for request in other_endpoint.accepted} == set(ids)
    await node.publish(customer, ["call/last"])
    await until(lambda: len(other_endpoint.accepted) == count + 1, "one that comes later")
    assert endpoint.requests == []


@pytest.mark.parametrize("order_hold", [timedelta(0), timedelta(seconds=30)])
async def test_what_failed_just_before_and_is_written_down_after_goes_to_the_new_uri_at_once(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint, order_hold: timedelta
) -> None:
    await use(node, order_hold=order_hold, retry=SLOW)
    await node.running.add(Finisher(node.store))
    gate, is_free = asyncio.Event(), threading.Event()

    async def fail_later(request: Request) -> int:
        await gate.wait()
        return 500

    endpoint.answer = fail_later
    customer = await node.new_customer(endpoint.uri)
    ids = await node.publish(customer, ["call/a", "call/b", ""])
    await until(lambda: len(endpoint.requests) == 3, "all are under way")
    # The disk is slow: the change is committed before the attempts' ends are, and told of after they were decided.
    slow = asyncio.create_task(node.store.write(lambda tx: is_free.wait(20)))
    change = asyncio.create_task(node.point(customer, other_endpoint.uri))
    await asyncio.sleep(0)
    gate.set()
    await until(lambda: node.recorder.unwritten_count == 3, "all have failed")
    is_free.set()
    assert await slow
    await change
    await until(lambda: len(other_endpoint.accepted) == 3, "all of them")
    assert {request.id for request in other_endpoint.accepted} == set(ids)


@pytest.mark.parametrize("how", ["off for a while", "restarted", "gone"])
async def test_all_that_failed_goes_to_the_new_uri_at_once_also_what_holds_its_subject(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint, how: str
) -> None:
    await use(node, retry=SLOW)
    refusals = {"bad": 500, "good": 200}
    endpoint.answer = lambda request: refusals[request.subject.partition("-")[2]]
    customer = await node.new_customer(endpoint.uri)
    # More than are made due in the change's own commit; with successes between them, so that it is never probed.
    await node.publish(customer, [f"call/{number}-{kind}" for number in range(250) for kind in ("bad", "good")])
    await until(lambda: len(endpoint.requests) == 500, "each was tried")
    await until(lambda: not node.recorder.unwritten_count, "all is written")
    match how:
        case "off for a while":
            await node.point(customer, "", "")
            await node.point(customer, other_endpoint.uri)
        case "restarted":
            await node.point(customer, other_endpoint.uri)
            await node.restart()
        case "gone":
            refusals["good"] = 410
            await node.publish(customer, ["call/last-good"])
            await until(lambda: len(endpoint.requests) == 501, "it is gone")
            await until(lambda: not node.recorder.unwritten_count, "that is written")
            await node.point(customer, other_endpoint.uri)
    await node.running.add(Finisher(node.store))
    await node.until_written()
    assert len({request.id for request in other_endpoint.accepted}) == (251 if how == "gone" else 250)


async def test_what_failed_for_the_last_time_while_the_webhook_was_pointed_elsewhere_is_not_given_up(
    node: Node, endpoint: Endpoint, other_endpoint: Endpoint
) -> None:
    await use(node, retry=RetryPolicy(schedule=()))
    gate, is_free = asyncio.Event(), threading.Event()

    async def fail_later(request: Request) -> int:
        await gate.wait()
        return 500

    endpoint.answer = fail_later
    customer = await node.new_customer(endpoint.uri)
    ids = await node.publish(customer, ["call/a", ""])
    await until(lambda: len(endpoint.requests) == 2, "both are under way")
    slow = asyncio.create_task(node.store.write(lambda tx: is_free.wait(20)))
    change = asyncio.create_task(node.point(customer, other_endpoint.uri))
    await asyncio.sleep(0)
    gate.set()
    await until(lambda: node.recorder.unwritten_count == 2, "both have failed")
    is_free.set()
    assert await slow
    await change
    await node.until_written()
    assert {request.id for request in other_endpoint.accepted} == set(ids)


async def test_switching_a_webhook_off_sends_nothing(node: Node, endpoint: Endpoint) -> None:
    customer, _ = await failed_once(node, endpoint, 5)
    await node.point(customer, "")
    (marker,) = await node.publish(await node.new_customer(endpoint.uri), ["call/marker"], b'{"n":0}')
    await until(partial(endpoint.has_accepted, marker), "another customer's")
    assert [request.id for request in endpoint.requests] == [marker]


async def test_a_new_uri_does_not_unfreeze_a_customer(node: Node, endpoint: Endpoint) -> None:
    customer = await node.new_customer(endpoint.uri)

    def freeze(tx: Transaction) -> None:
        customers.change_customer(tx, customer, status="frozen")
        destinations.hold_customer(tx, customer)

    await node.store.write(freeze)
    await node.point(customer, endpoint.uri)
    assert await node.held_reason(customer) == "frozen"


async def test_what_is_erased_is_not_sent_any_more_and_what_follows_is(node: Node, endpoint: Endpoint) -> None:
    await use(node, retry=SLOW)
    endpoint.answer = lambda request: 500 if request.data == {"n": 1} else 200
    customer = await node.new_customer(endpoint.uri)
    await node.publish(customer, ["call/a"] * 120 + ["call/b"])
    await until(lambda: len(endpoint.requests) == 2, "the first of each has failed")
    await erase_subject(node.store, customer, "call/a")
    await node.publish(customer, ["call/a"], b'{"n":2}')
    await until(lambda: endpoint.accepted, "what was published after the erasure")
    assert [(request.subject, request.data) for request in endpoint.accepted] == [("call/a", {"n": 2})]
    assert len(endpoint.requests) == 3
    assert len(await node.deliveries(customer, "cancelled")) == 120


async def test_an_erasure_while_the_backlog_is_being_read_sends_nothing_erased(node: Node, endpoint: Endpoint) -> None:
    customer = await node.new_customer(endpoint.uri)
    for number in range(20):
        subject = f"call/{number}"
        ids = await node.publish(customer, [subject] * 50)
        # A uri change makes the engine read everything again.
        await node.point(customer, endpoint.uri)
        await erase_subject(node.store, customer, subject)
        begun = {request.id for request in endpoint.requests}
        await node.until_written()
        late = ({request.id for request in endpoint.requests} & set(ids)) - begun
        assert len(late) <= 1, "more than the one under way"
