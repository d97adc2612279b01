"""What a destination's state means for its deliveries."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

from offhook.delivery.finishing import finish_cancelling
from offhook.delivery.log import erase_subject, replay, resend
from offhook.domain.delivery.delivery import FAILING, GONE, AttemptRecord, Destination
from offhook.domain.delivery.delivery_log import LoggedStatus
from offhook.domain.delivery.outcome import Outcome
from offhook.domain.errors import ConflictError, NotFoundError
from offhook.domain.events.replay import Replay
from offhook.store import schema
from offhook.store.commit.committed import Committed
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import customers, destinations
from offhook.store.queries.backlog import START, load_due, load_holding, next_due_us
from offhook.store.queries.deliveries import attempts_of_event, deliveries_of_event, list_deliveries
from offhook.store.queries.events import get_event, list_events
from offhook.store.queries.stats import webhook_numbers
from offhook.store.store import Store
from tests.store.commit.test_group_commit import publish
from tests.store.conftest import URI, new_customer, rows

FAR = 2**60


async def statuses(store: Store, customer: str) -> list[str]:
    found, _ = await store.read(lambda connection: list_deliveries(connection, customer))
    return [row.status for row in reversed(found)]


def record(
    delivery_key: int, webhook: Destination, *, status: str, number: int = 1, due_us: int = 0, at_us: int = 1_000
) -> AttemptRecord:
    good = status == "succeeded"
    return AttemptRecord(
        delivery_key=delivery_key,
        destination_key=webhook.key,
        number=number,
        uri_key=webhook.uri_key,
        outcome=Outcome.SUCCEEDED if good else Outcome.SERVER_ERROR,
        status_code=200 if good else 503,
        started_us=at_us,
        latency_ms=12,
        response=b"answer",
        status=status,
        due_us=due_us,
        first_failed_us=None if good else at_us,
        ended_us=at_us + 1,
    )


async def test_events_while_the_webhook_is_off_are_logged_and_get_no_delivery(store: Store) -> None:
    customer = await new_customer(store, uri="")
    await publish(store, customer, 2)
    assert await statuses(store, customer) == []
    found, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    assert len(found) == 2
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI, method="POST"))
    await publish(store, customer)
    assert await statuses(store, customer) == ["pending"]
    assert await replay(store, customer, Replay(after=0, only="all")) == 2
    assert await statuses(store, customer) == ["pending"] * 3


async def test_an_empty_uri_holds_what_is_pending_and_a_new_one_resumes(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    await publish(store, customer, 2)
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri="", method=""))
    assert await statuses(store, customer) == ["held", "held"]
    held, _ = await store.read(lambda connection: list_deliveries(connection, customer, status=LoggedStatus.HELD))
    assert {(row.held_reason, row.next_attempt_us) for row in held} == {("off", None)}
    other = "https://hooks.example.com/two"
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=other, method="PUT"))
    pending, _ = await store.read(lambda connection: list_deliveries(connection, customer, status=LoggedStatus.PENDING))
    assert [row.uri for row in pending] == [other, other]
    assert commits[-1].changed


@pytest.mark.parametrize("reason", [GONE, FAILING])
async def test_a_disabled_destination_holds_until_it_is_enabled(store: Store, customer: str, reason: str) -> None:
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    await store.write(lambda tx: destinations.disable(tx, webhook.key, reason, uri_key=webhook.uri_key))
    await publish(store, customer)
    held, _ = await store.read(lambda connection: list_deliveries(connection, customer))
    assert [(row.status, row.held_reason) for row in held] == [("held", reason)]
    await store.write(lambda tx: destinations.enable_webhook(tx, customer))
    assert await statuses(store, customer) == ["pending"]


async def test_disabling_an_old_uri_leaves_the_new_one_alone(store: Store, customer: str) -> None:
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/new", method="POST"))
    await store.write(lambda tx: destinations.disable(tx, webhook.key, GONE, uri_key=webhook.uri_key))
    now = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    assert now.held_reason == ""


async def test_freezing_holds_recovering_releases_deleting_cancels(store: Store, customer: str) -> None:
    await publish(store, customer)
    await store.write(lambda tx: destinations.hold_customer(tx, customer))
    assert await statuses(store, customer) == ["held"]
    await store.write(lambda tx: destinations.release_customer(tx, customer))
    assert await statuses(store, customer) == ["pending"]
    await store.write(lambda tx: destinations.cancel_customer(tx, customer))
    await finish_cancelling(store)
    assert await statuses(store, customer) == ["cancelled"]


async def test_the_backlog_is_read_in_order_and_to_its_end(store: Store, customer: str) -> None:
    ids = await publish(store, customer, 25)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    cursor, seen = START, []
    while True:
        chunk = await store.read(partial(load_due, destination_key=webhook.key, after=cursor, until_us=FAR, limit=4))
        if not chunk:
            break
        seen += [delivery.event_id for delivery in chunk]
        cursor = (chunk[-1].due_us, chunk[-1].key)
    assert seen == ids


async def test_attempts_are_kept_and_a_success_is_one_of_them(store: Store, customer: str) -> None:
    (event_id,) = await publish(store, customer)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(
        lambda connection: load_due(connection, webhook.key, after=START, until_us=FAR, limit=9)
    )
    later = FAR // 2
    await store.write(lambda tx: tx.record(record(delivery.key, webhook, status="pending", due_us=later)))
    assert await store.read(lambda connection: next_due_us(connection, webhook.key, after_us=0)) == later
    (held,) = await store.read(lambda connection: load_holding(connection, webhook.key, failed_since_us=500, limit=9))
    assert (held.attempt_count, held.first_failed_us) == (1, 1_000)
    await store.write(lambda tx: tx.record(record(delivery.key, webhook, status="succeeded", number=2, at_us=9_000)))
    attempts = await store.read(lambda connection: attempts_of_event(connection, customer, event_id))
    assert [(row.number, row.outcome, row.status_code, row.response) for row in attempts] == [
        (1, "server_error", 503, b"answer"),
        (2, "succeeded", 200, b"answer"),
    ]
    now_us = store.clock.now_us()
    numbers = await store.read(lambda c: webhook_numbers(c, customer, now_us=now_us, seconds=60))
    assert (numbers.window.later_count, numbers.waiting_count, numbers.window.failed_count) == (1, 0, 1)
    assert numbers.oldest_waiting_us is None


async def test_what_failed_before_the_webhook_was_pointed_elsewhere_and_is_written_down_after_is_due_at_once(
    store: Store, customer: str, commits: list[Committed]
) -> None:
    ids = await publish(store, customer, 2)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    due = await store.read(lambda connection: load_due(connection, webhook.key, after=START, until_us=FAR, limit=9))
    failed = [record(delivery.key, webhook, status="pending", due_us=FAR // 2) for delivery in due]
    await store.write(lambda tx: tx.record(failed[0]))
    assert await store.read(lambda connection: next_due_us(connection, webhook.key, after_us=0)) != FAR // 2

    def in_one_commit(tx: Transaction) -> None:
        destinations.set_webhook(tx, customer, uri=URI + "/new", method="POST")
        tx.record(failed[1])

    await store.write(in_one_commit)
    assert commits[-1].rewound == {webhook.key}
    now_us = store.clock.now_us()
    found = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=now_us, limit=9))
    assert [delivery.event_id for delivery in found] == ids


async def test_of_two_attempts_written_down_together_the_last_one_says_when_the_next_is(
    store: Store, customer: str
) -> None:
    await publish(store, customer)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=9))
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/new", method="POST"))
    moved = await store.read(lambda connection: destinations.webhook_of(connection, customer))

    def both(tx: Transaction) -> None:
        tx.record(record(delivery.key, webhook, status="pending", number=1, due_us=5))
        tx.record(record(delivery.key, moved, status="pending", number=2, due_us=FAR // 2, at_us=2_000))

    await store.write(both)
    assert rows(store, "SELECT due_at FROM deliveries") == [(FAR // 2,)]


async def test_what_failed_for_the_last_time_at_another_uri_is_not_given_up(store: Store, customer: str) -> None:
    await publish(store, customer)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=9))
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri=URI + "/new", method="POST"))
    await store.write(lambda tx: tx.record(record(delivery.key, webhook, status="exhausted", number=12)))
    assert await statuses(store, customer) == ["pending"]


async def test_nothing_stays_of_an_attempt_whose_delivery_was_removed_meanwhile(store: Store, customer: str) -> None:
    await publish(store, customer)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=9))
    await store.write(lambda tx: tx.connection.execute(sa.delete(schema.deliveries)))
    await store.write(lambda tx: tx.record(record(delivery.key, webhook, status="pending")))
    assert rows(store, "SELECT * FROM attempts") == []


async def test_an_attempt_written_down_twice_is_there_once_and_keeps_nobody_elses_out(
    store: Store, customer: str
) -> None:
    await publish(store, customer, 2)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    due = await store.read(lambda c: load_due(c, webhook.key, after=START, until_us=FAR, limit=9))
    first, second = (record(delivery.key, webhook, status="pending", due_us=FAR // 2) for delivery in due)
    await store.write(lambda tx: tx.record(first))

    def both(tx: Transaction) -> None:
        tx.record(first)
        tx.record(second)

    await store.write(both)
    assert rows(store, "SELECT count(*) FROM attempts") == [(2,)]


async def test_enabling_a_frozen_customers_webhook_leaves_it_frozen(store: Store, customer: str) -> None:
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    await store.write(lambda tx: destinations.disable(tx, webhook.key, GONE, uri_key=webhook.uri_key))

    def freeze(tx: Transaction) -> None:
        customers.change_customer(tx, customer, status="frozen")
        destinations.hold_customer(tx, customer)

    await store.write(freeze)
    await store.write(lambda tx: destinations.enable_webhook(tx, customer))
    after = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    assert after.held_reason == "frozen"


async def test_resend_hurries_what_is_pending_and_repeats_what_is_done(store: Store, customer: str) -> None:
    (event_id,) = await publish(store, customer)
    assert len(await store.write(lambda tx: resend(tx, customer, event_id))) == 1
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(
        lambda connection: load_due(connection, webhook.key, after=START, until_us=FAR, limit=9)
    )
    await store.write(lambda tx: tx.record(record(delivery.key, webhook, status="succeeded")))
    again = await store.write(lambda tx: resend(tx, customer, event_id))
    assert [row.status for row in again] == ["succeeded", "pending"]
    with pytest.raises(NotFoundError):
        await store.write(lambda tx: resend(tx, customer, "evt_none"))


async def test_replay_takes_what_failed_and_leaves_what_succeeded_or_is_on_its_way(store: Store, customer: str) -> None:
    await publish(store, customer, 3)
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    first, second, _ = await store.read(
        lambda connection: load_due(connection, webhook.key, after=START, until_us=FAR, limit=9)
    )
    await store.write(lambda tx: tx.record(record(first.key, webhook, status="exhausted", number=12)))
    await store.write(lambda tx: tx.record(record(second.key, webhook, status="succeeded")))
    assert await replay(store, customer, Replay(after=0)) == 1
    assert await replay(store, customer, Replay(after=0)) == 0
    assert await replay(store, customer, Replay(after=0, only="all")) == 1
    assert await replay(store, customer, Replay(after=0, only="all", types=("other",))) == 0
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri="", method=""))
    with pytest.raises(ConflictError):
        await replay(store, customer, Replay(after=0))


async def test_erasing_takes_payloads_out_and_leaves_tombstones(store: Store, customer: str) -> None:
    (event_id,) = await publish(store, customer, subject="person/1")
    await publish(store, customer, subject="person/2")
    assert await erase_subject(store, customer, "person/1") == 1
    erased = await store.read(lambda connection: get_event(connection, customer, event_id))
    assert (erased.payload, erased.is_erased, erased.data) == (b"", True, b"null")
    assert [row.status for row in await store.read(lambda c: deliveries_of_event(c, customer, event_id))] == [
        "cancelled"
    ]
    with pytest.raises(ConflictError):
        await store.write(lambda tx: resend(tx, customer, event_id))
    found, _ = await store.read(lambda connection: list_events(connection, customer, after=0))
    assert [event.position for event in found] == [1, 2]


async def test_an_answer_that_comes_after_the_erasure_is_not_kept(store: Store, customer: str) -> None:
    (event_id,) = await publish(store, customer, subject="person/1")
    webhook = await store.read(lambda connection: destinations.webhook_of(connection, customer))
    (delivery,) = await store.read(
        lambda connection: load_due(connection, webhook.key, after=START, until_us=FAR, limit=9)
    )
    await erase_subject(store, customer, "person/1")
    await store.write(lambda tx: tx.record(record(delivery.key, webhook, status="pending", due_us=FAR)))
    assert await store.read(lambda connection: attempts_of_event(connection, customer, event_id)) == []
    assert rows(store, "SELECT count(*) FROM attempts")[0][0] == 0


async def test_one_customer_never_sees_anothers(store: Store, customer: str) -> None:
    other = await new_customer(store)
    (event_id,) = await publish(store, customer)
    assert await statuses(store, other) == []
    for query in (get_event, deliveries_of_event, attempts_of_event):
        with pytest.raises(NotFoundError):
            await store.read(partial(query, customer_id=other, event_id=event_id))
