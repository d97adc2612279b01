"""The delivery log as the contract shows it (section 5), made of what the log knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from offhook.domain.delivery.counts import Counts
from offhook.domain.delivery.delivery import destination_name
from offhook.domain.delivery.delivery_log import (
    FailureGroup,
    LoggedAttempt,
    LoggedDelivery,
    LoggedStatus,
    WebhookNumbers,
)
from offhook.domain.delivery.standing import Standing
from offhook.domain.errors import InvalidError
from offhook.domain.times import from_us, rfc3339, rfc3339_or_none


class DeliveryRow(msgspec.Struct, frozen=True):
    """One event for one destination (contract, section 5). `uri` is where it went, or would go now.

    `behind` is the position of the event of the same subject that it waits for now; null if it waits for no other.
    `last_detail` says in words why the last attempt got no answer. `last_latency_ms` is null before the first one, and
    where it was erased.
    """

    id: str
    event_id: str
    event_type: str
    subject: str
    destination: str
    uri: str
    status: str
    held_reason: str
    behind: int | None
    attempt_count: int
    last_outcome: str
    last_status_code: int | None
    last_latency_ms: int | None
    last_detail: str
    tm_create: str | None
    tm_next_attempt: str | None
    tm_done: str | None


class AttemptRow(msgspec.Struct, frozen=True):
    """One HTTP try (contract, section 5). `status_code` is null if no answer came; `response` its first 4 KiB.

    `detail` says in words why no answer came, and is empty otherwise.
    """

    number: int
    destination: str
    uri: str
    outcome: str
    status_code: int | None
    latency_ms: int
    response: str
    detail: str
    tm_start: str | None


class FailureRow(msgspec.Struct, frozen=True):
    """Attempts that failed alike, and the minutes (of what is older than eight days the hours) of the first and last.

    `status_code` is null if no answer came.
    """

    outcome: str
    status_code: int | None
    count: int
    tm_first: str
    tm_last: str


class CountsRow(msgspec.Struct, frozen=True):
    """What happened in some time. Latencies in milliseconds, null without a success.

    `events` were created for the webhook, replayed ones among them; `succeeded` were delivered, at the first try or
    later; `exhausted` were given up. `success_rate` is the share of all attempts that succeeded, from 0 to 1, null
    without an attempt: while each attempt fails it is 0, whether or not anything was given up yet.

    `latency_…` is the time from the creation of what was delivered to the end of the response head, retries included;
    `first_try_latency_…` that of what was delivered at the first try. They are within 15 % of the truth, up to three
    days.
    """

    events: int
    succeeded: int
    delivered_first_try: int
    delivered_later: int
    exhausted: int
    cancelled: int
    failed_attempts: int
    success_rate: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    first_try_latency_p50_ms: float | None
    first_try_latency_p99_ms: float | None


class WebhookStats(CountsRow, frozen=True, kw_only=True):
    """How the webhook stands, and what happened since `tm_from`, in the last hour, and in the last day.

    `tm_from` is a full minute, beyond eight days a full hour: the time is as long as was asked for, or a little longer.
    If this server began to count later than that, it is that moment.

    `state`: `not_set` (no webhook_uri), `held` (`reason` says why), `failing` (the last attempt failed: `reason` is its
    outcome, of which `last_status_code` and `last_detail` say more), `probing` (it has failed so often that it gets one
    event at a time, the next at `next_probe`; null: at once), `idle` (no event in the last 24 hours), `answering`.
    `since` is when that began, null if it is not known; of `failing` and `probing` it is the end of the first failed
    attempt that no success followed, of `idle` the last event.

    `pending` and `held` are all that wait, however old; `oldest_undelivered_age_s` in seconds, null if none waits.
    `failures` are those of the time asked for, the most frequent first.
    """

    tm_from: str
    state: str
    since: str | None
    next_probe: str | None
    reason: str
    last_status_code: int | None
    last_detail: str
    pending: int
    held: int
    oldest_undelivered_age_s: float | None
    failures: list[FailureRow]
    last_hour: CountsRow
    last_day: CountsRow


def delivery_rows(
    deliveries: Iterable[LoggedDelivery], behind: Callable[[LoggedDelivery], int | None]
) -> list[DeliveryRow]:
    """Deliveries as they are shown; `behind` knows the position of the event that one waits for."""
    return [_delivery_row(delivery, behind(delivery)) for delivery in deliveries]


def _delivery_row(delivery: LoggedDelivery, behind: int | None) -> DeliveryRow:
    return DeliveryRow(
        id=str(delivery.key),
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        subject=delivery.subject,
        destination=destination_name(delivery.activeflow_id),
        uri=delivery.uri,
        status=delivery.status.value,
        held_reason=delivery.held_reason,
        behind=behind,
        attempt_count=delivery.attempt_count,
        last_outcome=delivery.last_outcome,
        last_status_code=delivery.last_status_code,
        last_latency_ms=delivery.last_latency_ms,
        last_detail=delivery.last_detail,
        tm_create=rfc3339(from_us(delivery.created_us)),
        tm_next_attempt=rfc3339_or_none(delivery.next_attempt_us),
        tm_done=rfc3339_or_none(delivery.done_us),
    )


def attempt_row(attempt: LoggedAttempt) -> AttemptRow:
    """An attempt as it is shown; what is no UTF-8 of its response is replaced."""
    return AttemptRow(
        number=attempt.number,
        destination=destination_name(attempt.activeflow_id),
        uri=attempt.uri,
        outcome=attempt.outcome,
        status_code=attempt.status_code,
        latency_ms=attempt.latency_ms,
        response=attempt.response.decode("utf-8", "replace"),
        detail=attempt.detail,
        tm_start=rfc3339(from_us(attempt.started_us)),
    )


def webhook_stats(numbers: WebhookNumbers, standing: Standing, now_us: int) -> WebhookStats:
    """A webhook's numbers as they are shown at `now_us`."""
    oldest_us, failure = numbers.oldest_waiting_us, standing.failure
    return WebhookStats(
        tm_from=rfc3339(from_us(numbers.from_us)),
        state=standing.state.value,
        since=rfc3339_or_none(standing.since_us),
        next_probe=rfc3339_or_none(standing.next_probe_us),
        reason=standing.reason,
        last_status_code=failure.status_code if failure else None,
        last_detail=failure.detail if failure else "",
        pending=numbers.pending_count,
        held=numbers.held_count,
        oldest_undelivered_age_s=None if oldest_us is None else round(max(0, now_us - oldest_us) / 1e6, 3),
        failures=[_failure_row(group) for group in numbers.failures],
        last_hour=CountsRow(**_counts(numbers.last_hour)),
        last_day=CountsRow(**_counts(numbers.last_day)),
        **_counts(numbers.window),
    )


def _counts(counts: Counts) -> dict[str, Any]:
    rate = counts.success_rate
    return {
        "events": counts.created,
        "succeeded": counts.succeeded_count,
        "delivered_first_try": counts.first_count,
        "delivered_later": counts.later_count,
        "exhausted": counts.exhausted,
        "cancelled": counts.cancelled,
        "failed_attempts": counts.failed_count,
        "success_rate": None if rate is None else round(rate, 4),
        "latency_p50_ms": counts.latency_ms(0.50),
        "latency_p99_ms": counts.latency_ms(0.99),
        "first_try_latency_p50_ms": counts.first_try_latency_ms(0.50),
        "first_try_latency_p99_ms": counts.first_try_latency_ms(0.99),
    }


def _failure_row(group: FailureGroup) -> FailureRow:
    return FailureRow(
        outcome=group.outcome,
        status_code=group.status_code,
        count=group.count,
        tm_first=rfc3339(from_us(group.first_us)),
        tm_last=rfc3339(from_us(group.last_us)),
    )


def read_status(text: str | None) -> LoggedStatus | None:
    """The status that a list is asked for. Raises InvalidError (status)."""
    try:
        return None if text is None else LoggedStatus(text)
    except ValueError:
        raise InvalidError(f"status is one of {', '.join(LoggedStatus)}.", field="status") from None
