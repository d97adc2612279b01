"""What an action names outside its flow, and may be sent to or fetched from: its addresses and sounds."""

from __future__ import annotations

import re

from offhook.domain.accounts.customer import fault_of_uri
from offhook.domain.delivery.networks import NetworkPolicy

ADDRESSES = frozenset({("webhook_send", "uri"), ("fetch", "event_url"), ("play", "stream_urls")})
"""The options that hold addresses, by type of action."""

_SOUND = re.compile(r"sound:[a-z0-9_-]+(?:/[a-z0-9_-]+)*")


def fault_of_address(action_type: str, field: str, value: str, policy: NetworkPolicy) -> str:
    """Why `value` cannot be used there, as a sentence and as far as can be told before connecting; "" if it can."""
    if (action_type, field) not in ADDRESSES:
        return ""
    if action_type == "play" and value.startswith("sound:"):
        return "" if _SOUND.fullmatch(value) else f"{value[:64]} is no name of a sound."
    fault = fault_of_uri(value, policy)
    return f"{value[:64]} {fault}." if fault else ""
