"""What an action names outside its flow: addresses that are sent to or fetched from, and sounds of the switch's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from offhook.domain.accounts.customer import fault_of_uri
from offhook.domain.delivery.networks import NetworkPolicy

ADDRESSES = frozenset({("webhook_send", "uri"), ("fetch", "event_url"), ("play", "stream_urls")})
"""The options that hold addresses, by type of action."""

# Never a path: a file of the machine's, or another customer's, is no sound.
_SOUND = re.compile(r"sound:[a-z0-9_-]+(?:/[a-z0-9_-]+)*")


def fault_of_address(action_type: str, field: str, value: str, policy: NetworkPolicy) -> str:
    """Why `value` cannot be used there, as a sentence and as far as can be told before connecting; "" if it can."""
    if (action_type, field) not in ADDRESSES:
        return ""
    if action_type == "play":
        return fault_of_sounds([value])
    fault = fault_of_uri(value, policy)
    return f"{value[:64]} {fault}." if fault else ""


def fault_of_sounds(values: Iterable[str]) -> str:
    """Why the first of these that is no sound of the switch's own cannot be played; "" if all can."""
    for value in values:
        if _SOUND.fullmatch(value) is None:
            return f"{value[:64]} is no sound of the switch's own, such as sound:hello-world."
    return ""
