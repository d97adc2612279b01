"""What family an event belongs to: the one place that says so."""

from __future__ import annotations


def family_of(event_type: str) -> str:
    """What a type begins with, up to its first underscore: `call` of `call_hungup`, `agent` of `agent_status_updated`.

    Settings that may differ per family (`retention.events.call`) mean this, also for types that a publisher invented.
    """
    return event_type.partition("_")[0]
