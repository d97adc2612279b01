"""What an attempt means: for its delivery (done, again later, given up) and for its destination (its health)."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import NamedTuple, Protocol

import structlog

from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.queue import DestinationQueue
from offhook.delivery.recorder import Recorder
from offhook.domain.delivery.delivery import FAILING, GONE, AttemptRecord, Delivery, Destination
from offhook.domain.delivery.health import CLEAN, Failure
from offhook.domain.delivery.outcome import Outcome
from offhook.domain.delivery.outcome_words import words_of
from offhook.domain.delivery.retry import RetryPolicy
from offhook.outbound.port import AttemptResult
from offhook.store.queries import destinations

log = structlog.get_logger()


class _Settings(Protocol):
    @property
    def retry(self) -> RetryPolicy: ...
    @property
    def disable_after(self) -> timedelta: ...


class Attempt(NamedTuple):
    """When an attempt began, by the steady clock and by the machine's, and where it went."""

    began_us: int
    started_us: int
    uri_key: int | None


class Conclusions:
    """Decides with the pure rules, changes the queue, and has the recorder write it down."""

    def __init__(self, settings: _Settings, metrics: DeliveryMetrics, recorder: Recorder) -> None:
        self._settings = settings
        self._metrics = metrics
        self._recorder = recorder

    def conclude(
        self, queue: DestinationQueue, delivery: Delivery, result: AttemptResult, attempt: Attempt, now_us: int
    ) -> None:
        """Decide what an attempt means for its delivery and its destination, and have it written down."""
        destination = queue.destination
        is_present = destination is not None and destination.uri_key == attempt.uri_key
        delivery.attempt_count += 1
        self._metrics.attempted(result.outcome, result.latency_ms)
        status = "succeeded"
        if result.outcome is not Outcome.SUCCEEDED:
            if delivery.first_failed_us is None:
                delivery.first_failed_us = now_us
            status = self._decide_retry(delivery, result, now_us, is_present=is_present)
            if status == "exhausted":
                self._metrics.exhausted.inc()
        try:
            if status == "pending":
                queue.lanes.park(delivery, now_us)
            else:
                queue.lanes.settle(delivery)
        except Exception:
            # It is not written down: as the database knows it, it is sent again.
            queue.lanes.forget_in_flight(delivery)
            queue.lanes.note_written(delivery.key, delivery.attempt_count)
            raise
        self._recorder.add(_record(delivery, result, attempt, now_us, status))
        if result.outcome is not Outcome.SUCCEEDED:
            _log_failure(delivery, destination, result, status)
        if is_present:
            self._judge(queue, result, attempt.began_us, now_us)

    def _decide_retry(self, delivery: Delivery, result: AttemptResult, now_us: int, *, is_present: bool) -> str:
        if result.outcome is Outcome.GONE or not is_present:
            # Held, or on to the new uri: either way it has to wait for nothing but its destination.
            delivery.due_us = now_us
            return "pending"
        delay = self._settings.retry.delay(
            delivery.family,
            delivery.attempt_count,
            retry_after=result.retry_after,
            luck=random.random(),  # noqa: S311 - spreads load, hides nothing
        )
        if delay is None:
            return "exhausted"
        delivery.due_us = now_us + delay // timedelta(microseconds=1)
        return "pending"

    def _judge(self, queue: DestinationQueue, result: AttemptResult, began_us: int, now_us: int) -> None:
        """What the attempt says about its destination."""
        before, outcome = queue.health, result.outcome
        if outcome is Outcome.SUCCEEDED:
            if before.failure_count:
                queue.health = CLEAN
                if queue.alarm.succeeded():
                    _log_answering(queue, now_us - (before.failing_since_us or now_us))
        else:
            queue.health = before.failed(began_us, now_us, Failure(outcome.value, result.status_code, result.detail))
            limit_us = self._settings.disable_after // timedelta(microseconds=1)
            if outcome is not Outcome.GONE and queue.alarm.failed(now_us):
                _log_failing(queue, result)
            if outcome is Outcome.GONE:
                self._disable(queue, GONE)
            elif queue.health.has_failed_for(now_us, limit_us):
                self._disable(queue, FAILING)
            elif queue.health.is_probing and not before.is_probing:
                log.info("delivery.destination_probed", destination=queue.key, outcome=outcome.value)
                # It needs little from now on: the memory is for others.
                queue.start_over()
        self._write_health(queue)

    def _write_health(self, queue: DestinationQueue) -> None:
        """Remember a run of failures, what they are, and its end: also after a restart it is told since when."""
        health = queue.health
        run = (health.failing_since_us, health.failure, health.is_probing)
        if queue.destination is None or run == queue.written_run:
            return
        queue.written_run = run
        key, uri_key = queue.key, queue.destination.uri_key
        self._recorder.add_change(("health", key), lambda tx: destinations.set_health(tx, key, health, uri_key=uri_key))

    def _disable(self, queue: DestinationQueue, reason: str) -> None:
        if queue.destination is None or queue.destination.held_reason:
            return
        log.warning("delivery.destination_disabled", **_named(queue), reason=reason)
        self._metrics.disabled.labels(reason).inc()
        key, uri_key = queue.key, queue.destination.uri_key
        queue.hold(reason)
        # The database has the last word: it knows whether the uri was set again meanwhile.
        self._recorder.add_change(("disabled", key), lambda tx: destinations.disable(tx, key, reason, uri_key=uri_key))


def _log_failing(queue: DestinationQueue, result: AttemptResult) -> None:
    """Once for a run of failures, in the words that a person would be told."""
    words = words_of(result.outcome, result.status_code, result.detail)
    log.warning(
        "delivery.destination_failing",
        **_named(queue),
        outcome=result.outcome.value,
        status_code=result.status_code,
        said=words.sentence,
        advice=words.advice,
    )


def _log_answering(queue: DestinationQueue, failed_for_us: int) -> None:
    log.warning("delivery.destination_answers", **_named(queue), failed_for_s=round(failed_for_us / 1e6, 1))


def _named(queue: DestinationQueue) -> dict[str, str | None]:
    destination = queue.destination
    return {
        "customer_id": None if destination is None else destination.customer_id,
        "destination": None if destination is None else destination.name,
    }


def _log_failure(delivery: Delivery, destination: Destination | None, result: AttemptResult, status: str) -> None:
    """One line for each. Of the uri nothing is in it: path and query of a webhook are often its password."""
    log.info(
        "delivery.attempt_failed",
        event_id=delivery.event_id,
        customer_id=None if destination is None else destination.customer_id,
        destination=None if destination is None else destination.name,
        attempt=delivery.attempt_count,
        outcome=result.outcome.value,
        status_code=result.status_code,
        detail=result.detail,
        said=words_of(result.outcome, result.status_code, result.detail).sentence,
        delivery=status,
    )


def _record(delivery: Delivery, result: AttemptResult, attempt: Attempt, ended_us: int, status: str) -> AttemptRecord:
    return AttemptRecord(
        delivery_key=delivery.key,
        destination_key=delivery.destination_key,
        number=delivery.attempt_count,
        uri_key=attempt.uri_key,
        outcome=result.outcome,
        status_code=result.status_code,
        started_us=attempt.started_us,
        latency_ms=result.latency_ms,
        response=result.response,
        status=status,
        due_us=delivery.due_us,
        first_failed_us=delivery.first_failed_us,
        ended_us=ended_us,
        detail=result.detail,
        # By the steady clock.
        took_us=attempt.began_us + result.latency_ms * 1000 - delivery.created_us,
    )
