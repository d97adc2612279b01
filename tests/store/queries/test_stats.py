"""A webhook's numbers come from counters and from one row: right, however much there is."""

from __future__ import annotations

import random
from typing import Any

import pytest
import sqlalchemy as sa

from offhook.domain.delivery.counts import DAY_US, HOUR_US, MINUTE_US, Counts, forgotten_before_us, rolled_up_before_us
from offhook.domain.delivery.delivery_log import FailureGroup, WebhookNumbers
from offhook.node.clock import SteadyClock
from offhook.store.commit.counting import attempts_of, plain_counts
from offhook.store.commit.transaction import Transaction
from offhook.store.long_work.rolling_up import forget_hours_step, roll_up_step
from offhook.store.queries import destinations
from offhook.store.queries.stats import webhook_numbers
from offhook.store.schema import minute_counts
from offhook.store.store import Store
from tests.store.commit.test_counting import attempt
from tests.store.commit.test_group_commit import publish
from tests.store.conftest import URI, rows

PENDING = "SELECT key, tm_create FROM deliveries WHERE status = 0 ORDER BY key"
DAY_S = 86_400


async def numbers(store: Store, customer: str, *, seconds: int = DAY_S, now_us: int | None = None) -> WebhookNumbers:
    moment_us = now_us or store.clock.now_us()
    return await store.read_for_api(lambda c: webhook_numbers(c, customer, now_us=moment_us, seconds=seconds))


async def key_of(store: Store, customer: str) -> int:
    webhook = await store.read(lambda c: destinations.webhook_of(c, customer))
    return webhook.key


async def count_at(store: Store, key: int, at_us: int, counts: Counts) -> None:
    """As if it had been counted then."""
    row = {"destination_key": key, "starts_at": at_us, "attempts": attempts_of(counts)}
    row |= plain_counts(counts)
    await store.write(lambda tx: tx.add_write(sa.insert(minute_counts).values(row)))


async def roll_up(store: Store, now_us: int) -> None:
    def change(tx: Transaction) -> None:
        while roll_up_step(tx, rolled_up_before_us(now_us)):
            pass
        while forget_hours_step(tx, forgotten_before_us(now_us)):
            pass

    await store.write(change)


async def test_each_time_has_what_was_counted_in_it(store: Store, customer: str) -> None:
    key = await key_of(store, customer)
    now_us = 2_000 * DAY_US + 5 * HOUR_US + 30 * MINUTE_US + 30_000_000
    minute_us = now_us - now_us % MINUTE_US
    await count_at(store, key, minute_us, Counts(created=1, failures={("refused", None): 3}))
    await count_at(store, key, minute_us - HOUR_US, Counts(created=10, failures={("refused", None): 1}))
    await count_at(store, key, minute_us - HOUR_US - MINUTE_US, Counts(created=100, first={5: 7}))
    await count_at(store, key, minute_us - DAY_US - MINUTE_US, Counts(created=1_000))
    await count_at(store, key, minute_us - 20 * DAY_US, Counts(created=10_000))
    found = await numbers(store, customer, seconds=1, now_us=now_us)
    assert (found.window.created, found.from_us) == (1, minute_us)
    assert (found.last_hour.created, found.last_day.created) == (11, 111)
    assert found.failures == [FailureGroup("refused", None, 3, minute_us, minute_us)]
    assert found.last_day.success_rate == 7 / 11
    week = await numbers(store, customer, seconds=8 * DAY_S, now_us=now_us)
    assert week.window.created == 1_111
    assert week.failures == [FailureGroup("refused", None, 4, minute_us - HOUR_US, minute_us)]
    await roll_up(store, now_us)
    month = await numbers(store, customer, seconds=35 * DAY_S, now_us=now_us)
    assert (month.window.created, month.from_us % HOUR_US) == (11_111, 0)
    assert (await numbers(store, customer, seconds=8 * DAY_S, now_us=now_us)).window == week.window


async def test_minutes_become_hours_after_eight_days_and_these_go_after_thirty_five(
    store: Store, customer: str
) -> None:
    key, luck = await key_of(store, customer), random.Random(7)
    start_us = 2_000 * DAY_US
    for number in range(400):
        counts = Counts(created=1, cancelled=number % 2, first={luck.randrange(70): 2}, later={3: 1})
        counts.failed(luck.choice([("refused", None), ("client_error", 404)]))
        await count_at(store, key, start_us + number * 3 * HOUR_US // 2, counts)
    whole = await numbers(store, customer, seconds=35 * DAY_S, now_us=start_us + 30 * DAY_US)
    assert whole.window.created == 400
    await roll_up(store, start_us + 30 * DAY_US)
    border_us = rolled_up_before_us(start_us + 30 * DAY_US)
    assert rows(store, f"SELECT 1 FROM minute_counts WHERE starts_at < {border_us}") == []
    assert rows(store, f"SELECT 1 FROM hour_counts WHERE starts_at >= {border_us}") == []
    assert len(rows(store, "SELECT 1 FROM minute_counts")) + len(rows(store, "SELECT 1 FROM hour_counts")) == 400
    rolled = await numbers(store, customer, seconds=35 * DAY_S, now_us=start_us + 30 * DAY_US)
    assert rolled.window == whole.window
    # Twice is once.
    await roll_up(store, start_us + 30 * DAY_US)
    assert (await numbers(store, customer, seconds=35 * DAY_S, now_us=start_us + 30 * DAY_US)).window == whole.window
    await roll_up(store, start_us + 80 * DAY_US)
    assert rows(store, "SELECT 1 FROM minute_counts UNION ALL SELECT 1 FROM hour_counts") == []


async def test_several_minutes_of_one_hour_become_one_row(store: Store, customer: str) -> None:
    key = await key_of(store, customer)
    for minute in range(60):
        await count_at(store, key, 2_000 * DAY_US + minute * MINUTE_US, Counts(created=1, first={minute: 1}))
        if minute == 30:
            await roll_up(store, 2_000 * DAY_US + 9 * DAY_US)
    await roll_up(store, 2_000 * DAY_US + 9 * DAY_US)
    assert rows(store, "SELECT created, delivered_first FROM hour_counts") == [(60, 60)]
    assert rows(store, "SELECT 1 FROM minute_counts") == []


async def test_what_waits_is_known_without_counting_it(store: Store, customer: str) -> None:
    await publish(store, customer, 5)
    webhook = await store.read(lambda c: destinations.webhook_of(c, customer))
    found: list[Any] = rows(store, PENDING)
    await store.write(lambda tx: tx.record(attempt(found[0].key, webhook, 1, "succeeded")))
    await store.write(lambda tx: tx.record(attempt(found[1].key, webhook, 1, "pending", at_us=2**60)))
    told = await numbers(store, customer)
    assert (told.pending_count, told.held_count) == (4, 0)
    # One that failed and is due in the far future is the oldest all the same.
    assert told.oldest_waiting_us == found[1].tm_create
    await store.write(lambda tx: destinations.set_webhook(tx, customer, uri="", method=""))
    told = await numbers(store, customer)
    assert (told.pending_count, told.held_count) == (0, 4)


@pytest.mark.parametrize("seed", range(3))
async def test_the_oldest_that_waits_is_found_by_two_rows(store: Store, customer: str, seed: int) -> None:
    luck = random.Random(seed)
    webhook = await store.read(lambda c: destinations.webhook_of(c, customer))
    for _ in range(40):
        if luck.random() < 0.4:
            await publish(store, customer, luck.randint(1, 3))
        pending: list[Any] = rows(store, PENDING)
        if pending:
            one = luck.choice(pending[:4])
            status = luck.choice(["succeeded", "pending", "pending"])
            due_us = store.clock.now_us() + luck.choice([0, HOUR_US])
            number = luck.randint(1, 9)
            record = attempt(one.key, webhook, number, status, at_us=due_us)
            await store.write(lambda tx, record=record: tx.record(record))  # type: ignore[misc]
        if luck.random() < 0.1:
            uri = f"{URI}/{luck.random()}"
            await store.write(lambda tx, uri=uri: destinations.set_webhook(tx, customer, uri=uri, method="POST"))  # type: ignore[misc]
            webhook = await store.read(lambda c: destinations.webhook_of(c, customer))
        oldest: Any = rows(store, "SELECT min(tm_create) FROM deliveries WHERE status = 0")[0][0]
        assert (await numbers(store, customer)).oldest_waiting_us == oldest


async def test_a_server_that_began_to_count_later_says_so(store: Store, customer: str) -> None:
    await publish(store, customer)
    since_us = store.clock.now_us() - HOUR_US
    await store.write(lambda tx: tx.add_write(sa.text(f"UPDATE destination_totals SET counted_since = {since_us}")))
    assert (await numbers(store, customer)).from_us == since_us
    assert (await numbers(store, customer, seconds=60)).from_us > since_us


async def test_the_newest_event_is_known_also_after_its_counts_are_forgotten(store: Store, customer: str) -> None:
    await publish(store, customer)
    created: Any = rows(store, PENDING)[0]
    store.clock = SteadyClock(store.clock.now_us() + 50 * DAY_US)
    await roll_up(store, store.clock.now_us())
    told = await numbers(store, customer)
    assert (told.last_created_us, told.window.created, told.pending_count) == (created.tm_create, 0, 1)
