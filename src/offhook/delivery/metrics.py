"""What the engine counts for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from offhook.domain.outcome import Outcome

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class DeliveryMetrics:
    """Counters of attempts. One per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        attempts = Counter("offhook_attempts", "Attempts by outcome.", ["outcome"], registry=registry)
        self._by_outcome = {outcome: attempts.labels(outcome.value) for outcome in Outcome}
        self._latency = Histogram(
            "offhook_attempt_latency_seconds",
            "From the start of an attempt to its response head or failure.",
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def attempted(self, outcome: Outcome, latency_ms: int) -> None:
        """Count one attempt."""
        self._by_outcome[outcome].inc()
        self._latency.observe(latency_ms / 1000)
