"""What the store counts for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from offhook.store.store import Store


class StoreMetrics(Collector):
    """Reads the store's counters when somebody asks."""

    def __init__(self, registry: CollectorRegistry, store: Store) -> None:
        self._store = store
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counters as they are now."""
        faults = CounterMetricFamily(
            "offhook_rule_faults", "Decisions that raised, by kind of resource: faults in Offhook.", labels=["kind"]
        )
        for kind in self._store.tables.nouns:
            faults.add_metric([kind], self._store.fault_counts[kind])
        yield faults
        yield CounterMetricFamily(
            "offhook_stale_groups",
            "Group commits run again because another node had written a row.",
            value=self._store.stale_count,
        )
