"""What the engine counts for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from offhook.domain.delivery.outcome import Outcome

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class DeliveryMetrics:
    """Counters of attempts and gauges of what is under way. One per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        attempts = Counter("offhook_attempts", "Attempts by outcome.", ["outcome"], registry=registry)
        self._by_outcome = {outcome: attempts.labels(outcome.value) for outcome in Outcome}
        self._latency = Histogram(
            "offhook_attempt_latency_seconds",
            "From the start of an attempt to its response head or failure.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.exhausted = Counter("offhook_deliveries_exhausted", "Deliveries given up.", registry=registry)
        self.disabled = Counter(
            "offhook_destinations_disabled", "Destinations disabled, by reason.", ["reason"], registry=registry
        )
        self._registry = registry

    def attempted(self, outcome: Outcome, latency_ms: int) -> None:
        """Count one attempt."""
        self._by_outcome[outcome].inc()
        self._latency.observe(latency_ms / 1000)

    def watch(self, lengths: Callable[[], tuple[int, int]], writing: Callable[[], tuple[int, int]]) -> None:
        """Show what an engine holds: (in memory, in flight), and (attempts not yet written, groups committed)."""
        self._gauge("offhook_deliveries_in_memory", "Deliveries waiting in memory.", lambda: lengths()[0])
        self._gauge("offhook_attempts_in_flight", "Attempts under way.", lambda: lengths()[1])
        self._gauge("offhook_attempts_unwritten", "Attempts not yet written down.", lambda: writing()[0])
        self._gauge("offhook_store_groups", "Group commits since the start.", lambda: writing()[1])

    def _gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        Gauge(name, documentation, registry=self._registry).set_function(value)
