"""What a flow knows of its call: the system's variables (facts, section 5)."""

from __future__ import annotations

import msgspec

from offhook.domain.catalogue.call import Call


def variables_of(call: Call) -> dict[str, str]:
    """By name. What changes while the call lives (its status, the digits) is told as it changes."""
    known = {"id": call.id, "direction": call.direction, "master_call_id": call.master_call_id}
    for side, address in (("source", call.source), ("destination", call.destination)):
        known |= {f"{side}.{name}": value for name, value in msgspec.structs.asdict(address).items()}
    return {f"voipbin.call.{name}": value for name, value in known.items()}
