"""The port to a phone system: commands and their outcomes one way, what it tells the other.

The two closed unions are `domain.switch_commands` and `domain.switch_inputs`. Telephony rules live above this port.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from offhook.domain.step import Outcome
from offhook.domain.switch.commands import SwitchCommand
from offhook.domain.switch.inputs import SwitchInput

Listener = Callable[[SwitchInput, datetime], None]
"""Told an input, and when it was heard."""


class Switch(Protocol):
    """A phone system."""

    @property
    def switch_name(self) -> str:
        """What commands and channels of it carry."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether commands can succeed and inputs arrive right now."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every input from now on, in order. It must not block nor raise."""
        ...

    async def carry_out(self, command: SwitchCommand) -> Outcome:
        """One request, answered within a few seconds. `Unavailable` may be tried again."""
        ...

    async def look(self, command: SwitchCommand) -> Outcome:
        """Whether a command that was begun was carried out; `Unknown` if that cannot be told any more."""
        ...
