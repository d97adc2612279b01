"""How long to wait before something is tried again: longer each time, until it went well.

No retry library is used. Those repeat one call until it succeeds or the attempts are used up; what is tried again here
never ends, begins anew with short pauses after it was well for a while, and waits in ways of its own (a service that
is being stopped, a switch that is gone).
"""

from __future__ import annotations


class Backoff:
    """Pauses in seconds that double from `first_s` to `longest_s`."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s

    def pause_s(self) -> float:
        """The pause before the next try; the one after it will be longer."""
        pause_s = self._next_s
        self._next_s = min(pause_s * 2, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """It went well: the next pause is the first one again."""
        self._next_s = self._first_s
