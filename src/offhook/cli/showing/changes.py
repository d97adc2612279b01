"""What an event changed of its subject, as `offhook events tail` says it: only what is new since the one before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from offhook.domain.ids import NIL_UUID

# More subjects than these are not remembered; the one that was silent for longest goes first.
_MAX_SUBJECTS = 1_000
_TELLING = ("status", "hangup_by", "hangup_reason")
# They change with every event, or never.
_SILENT = {"tm_update", "id", "customer_id"}


class Changes:
    """Remembers the last `data` of each subject."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def of(self, event: Mapping[str, Any]) -> str:
        """What this event, the next one of its subject, has changed; of the first one, how things stand."""
        subject, data = event["subject"], event["data"]
        if not isinstance(data, dict):
            return ""
        before = self._last.pop(subject, None) if subject else None
        if subject:
            self._last[subject] = data
            if len(self._last) > _MAX_SUBJECTS:
                self._last.popitem(last=False)
        if before is None:
            return ", ".join(_shown(name, data[name]) for name in _TELLING if data.get(name))
        changed = [name for name in data if name not in _SILENT and data[name] != before.get(name)]
        # A point in time says little beside what happened at it.
        told = [name for name in changed if not name.startswith("tm_")] or changed
        return ", ".join(_shown(name, data[name]) for name in told)


def _shown(name: str, value: Any) -> str:
    """A status speaks for itself; of an object its type or name says which it is."""
    if isinstance(value, dict):
        value = value.get("type") or value.get("name") or value.get("target") or "changed"
    elif isinstance(value, list):
        value = len(value)
    return str(value) if name == "status" else f"{name} {'(none)' if value in ('', None, NIL_UUID) else value}"
