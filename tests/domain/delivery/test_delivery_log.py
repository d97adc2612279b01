"""How a webhook is doing, told from its counts."""

from __future__ import annotations

import msgspec
import pytest

from offhook.domain.delivery.delivery_log import WebhookNumbers

NUMBERS = WebhookNumbers(
    from_us=0,
    is_held=False,
    waiting_count=4,
    succeeded_count=6,
    exhausted_count=2,
    cancelled_count=1,
    attempt_count=19,
    latencies_ms=[3, 5, 8, 13],
    oldest_waiting_us=7,
)


def test_what_waits_is_pending_or_held_as_its_webhook_is() -> None:
    assert (NUMBERS.pending_count, NUMBERS.held_count) == (4, 0)
    held = msgspec.structs.replace(NUMBERS, is_held=True)
    assert (held.pending_count, held.held_count) == (0, 4)


def test_the_last_attempt_at_a_success_is_the_only_one_that_did_not_fail() -> None:
    assert NUMBERS.failed_attempt_count == 13


def test_the_rate_is_of_what_ended() -> None:
    assert NUMBERS.success_rate == 0.75
    assert msgspec.structs.replace(NUMBERS, succeeded_count=0, exhausted_count=0).success_rate is None


@pytest.mark.parametrize(("share", "latency_ms"), [(0.0, 3), (0.5, 8), (0.99, 13), (1.0, 13)])
def test_a_share_of_the_successes_was_as_quick(share: float, latency_ms: int) -> None:
    assert NUMBERS.latency_ms(share) == latency_ms
    assert msgspec.structs.replace(NUMBERS, latencies_ms=[]).latency_ms(share) is None
