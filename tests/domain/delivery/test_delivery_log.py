"""How a webhook is doing, told from its counts."""

from __future__ import annotations

import msgspec

from offhook.domain.delivery.counts import Counts
from offhook.domain.delivery.delivery import GONE
from offhook.domain.delivery.delivery_log import WebhookNumbers
from tests.domain.delivery.test_standing import WEBHOOK

NUMBERS = WebhookNumbers(
    destination=WEBHOOK,
    from_us=0,
    window=Counts(),
    failures=[],
    last_hour=Counts(),
    last_day=Counts(),
    waiting_count=4,
    oldest_waiting_us=7,
    last_created_us=9,
)


def test_what_waits_is_pending_or_held_as_its_webhook_is() -> None:
    assert (NUMBERS.pending_count, NUMBERS.held_count) == (4, 0)
    held = msgspec.structs.replace(NUMBERS, destination=msgspec.structs.replace(WEBHOOK, held_reason=GONE))
    assert (held.pending_count, held.held_count) == (0, 4)
