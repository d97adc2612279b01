"""What the delivery log knows: deliveries, the attempts at them, and how a webhook is doing.

Points in time are microseconds since 1970. An empty `activeflow_id` means the customer's own webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from offhook.domain.delivery.counts import Counts
from offhook.domain.delivery.delivery import Destination


class LoggedStatus(StrEnum):
    """What became of a delivery so far. One that is pending is `held` while its destination is stopped."""

    PENDING = "pending"
    HELD = "held"
    SUCCEEDED = "succeeded"
    EXHAUSTED = "exhausted"
    CANCELLED = "cancelled"


class LoggedDelivery(msgspec.Struct, frozen=True):
    """One event for one destination. `uri` is where it went, or would go now; `held_reason` is empty unless held.

    `last_outcome` is empty before the first attempt, as is `last_detail`, which says more of a failure without an
    answer; `next_attempt_us` is None unless there will be one.
    """

    key: int
    destination_key: int
    event_id: str
    event_type: str
    subject: str
    activeflow_id: str
    uri: str
    status: LoggedStatus
    held_reason: str
    attempt_count: int
    last_outcome: str
    last_status_code: int | None
    created_us: int
    next_attempt_us: int | None
    done_us: int | None
    last_latency_ms: int | None = None
    last_detail: str = ""


class LoggedAttempt(msgspec.Struct, frozen=True):
    """One HTTP try. `status_code` is None if no answer came; `response` is what is kept of its body.

    `detail` says more of a failure without an answer, and is empty otherwise.
    """

    number: int
    activeflow_id: str
    uri: str
    outcome: str
    status_code: int | None
    latency_ms: int
    response: bytes
    started_us: int
    detail: str = ""


class FailureGroup(msgspec.Struct, frozen=True):
    """Attempts that failed alike: how many, and the minutes (beyond eight days the hours) of the first and the last."""

    outcome: str
    status_code: int | None
    count: int
    first_us: int
    last_us: int


class WebhookNumbers(msgspec.Struct, frozen=True):
    """What was counted of a webhook, and what is true of it now.

    `window` is what was counted since `from_us`, `failures` the attempts of it that failed, the most frequent first;
    `last_hour` and `last_day` are of these. `waiting_count` is of everything that is not final, however old;
    `oldest_waiting_us` is None if nothing waits, `last_created_us` if there never was a delivery.
    """

    destination: Destination
    from_us: int
    window: Counts
    failures: Sequence[FailureGroup]
    last_hour: Counts
    last_day: Counts
    waiting_count: int
    oldest_waiting_us: int | None
    last_created_us: int | None

    @property
    def pending_count(self) -> int:
        """How many wait and are sent in their time."""
        return 0 if self.destination.held_reason else self.waiting_count

    @property
    def held_count(self) -> int:
        """How many wait for their webhook to be used again."""
        return self.waiting_count if self.destination.held_reason else 0
