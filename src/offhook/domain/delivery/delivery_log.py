"""What the delivery log knows: deliveries, the attempts at them, and how a webhook is doing.

Points in time are microseconds since 1970. An empty `activeflow_id` means the customer's own webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


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


class WebhookNumbers(msgspec.Struct, frozen=True):
    """Counts of a webhook's deliveries that were created since `from_us`, and of what waits, however old.

    `attempt_count` is of all attempts at them, success included; `latencies_ms` are of the newest successes, lowest
    first; `oldest_waiting_us` is None if none waits.
    """

    from_us: int
    is_held: bool
    waiting_count: int
    succeeded_count: int
    exhausted_count: int
    cancelled_count: int
    attempt_count: int
    latencies_ms: Sequence[int]
    oldest_waiting_us: int | None

    @property
    def pending_count(self) -> int:
        """How many wait and are sent in their time."""
        return 0 if self.is_held else self.waiting_count

    @property
    def held_count(self) -> int:
        """How many wait for their webhook to be used again."""
        return self.waiting_count if self.is_held else 0

    @property
    def failed_attempt_count(self) -> int:
        """How many attempts failed: the last one at a delivery that succeeded is the only one that did not."""
        return self.attempt_count - self.succeeded_count

    @property
    def success_rate(self) -> float | None:
        """The share of success among the deliveries that ended; None if none did."""
        ended = self.succeeded_count + self.exhausted_count
        return self.succeeded_count / ended if ended else None

    def latency_ms(self, share: float) -> int | None:
        """The latency that this share of the successes kept below, or was; None without a success."""
        latencies = self.latencies_ms
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else None
