"""Which calls a list is to show (calls-flows-recordings 58)."""

from __future__ import annotations

from typing import get_args, get_type_hints

import msgspec

from offhook.domain.catalogue.call import Call
from offhook.domain.catalogue.fields import Address
from offhook.domain.telephony.number import digits_of

STATUSES: tuple[str, ...] = get_args(get_type_hints(Call)["status"])
DIRECTIONS: tuple[str, ...] = get_args(get_type_hints(Call)["direction"])


class CallFilter(msgspec.Struct, frozen=True):
    """What is "" does not matter. `number` is on either side."""

    status: str = ""
    direction: str = ""
    number: str = ""
    activeflow_id: str = ""
    groupcall_id: str = ""

    def takes(self, call: Call) -> bool:
        """Whether the call is wanted."""
        return (
            self.status in ("", call.status)
            and self.direction in ("", call.direction)
            and self.activeflow_id in ("", call.activeflow_id)
            and self.groupcall_id in ("", call.groupcall_id)
            and (not self.number or any(self._is_at(side) for side in (call.source, call.destination)))
        )

    def _is_at(self, side: Address) -> bool:
        digits = digits_of(self.number)
        return side.target == self.number or (digits != "" and digits_of(side.target) == digits)
