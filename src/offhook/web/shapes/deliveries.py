"""The delivery log as the contract shows it (section 5), made of what the log knows."""

from __future__ import annotations

import msgspec

from offhook.domain.delivery.delivery import destination_name
from offhook.domain.delivery.delivery_log import LoggedAttempt, LoggedDelivery, LoggedStatus, WebhookNumbers
from offhook.domain.errors import InvalidError
from offhook.domain.times import from_us, rfc3339, rfc3339_or_none


class DeliveryRow(msgspec.Struct, frozen=True):
    """One event for one destination (contract, section 5). `uri` is where it went, or would go now.

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


class WebhookStats(msgspec.Struct, frozen=True):
    """Counts of the deliveries created since `tm_from`; `success_rate` of those that ended (null if none did).

    `tm_from` is the beginning of what was asked for, or later if that holds more than the newest 50,000 deliveries.
    What is pending is counted whenever it was created, up to a million. Latencies in milliseconds, null without a
    success; `oldest_undelivered_age_s` in seconds, null if none waits.
    """

    tm_from: str
    pending: int
    held: int
    succeeded: int
    exhausted: int
    cancelled: int
    failed_attempts: int
    success_rate: float | None
    latency_p50_ms: int | None
    latency_p99_ms: int | None
    oldest_undelivered_age_s: float | None


def delivery_row(delivery: LoggedDelivery) -> DeliveryRow:
    """A delivery as it is shown."""
    return DeliveryRow(
        id=str(delivery.key),
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        subject=delivery.subject,
        destination=destination_name(delivery.activeflow_id),
        uri=delivery.uri,
        status=delivery.status.value,
        held_reason=delivery.held_reason,
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


def webhook_stats(numbers: WebhookNumbers, now_us: int) -> WebhookStats:
    """A webhook's numbers as they are shown at `now_us`."""
    rate, oldest_us = numbers.success_rate, numbers.oldest_waiting_us
    return WebhookStats(
        tm_from=rfc3339(from_us(numbers.from_us)),
        pending=numbers.pending_count,
        held=numbers.held_count,
        succeeded=numbers.succeeded_count,
        exhausted=numbers.exhausted_count,
        cancelled=numbers.cancelled_count,
        failed_attempts=numbers.failed_attempt_count,
        success_rate=None if rate is None else round(rate, 4),
        latency_p50_ms=numbers.latency_ms(0.50),
        latency_p99_ms=numbers.latency_ms(0.99),
        oldest_undelivered_age_s=None if oldest_us is None else round(max(0, now_us - oldest_us) / 1e6, 3),
    )


def read_status(text: str | None) -> LoggedStatus | None:
    """The status that a list is asked for. Raises InvalidError (status)."""
    try:
        return None if text is None else LoggedStatus(text)
    except ValueError:
        raise InvalidError(f"status is one of {', '.join(LoggedStatus)}.", field="status") from None
