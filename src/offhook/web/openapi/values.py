"""The values of texts that have only some, for the OpenAPI document: the answers' own types say `str` for short."""

from __future__ import annotations

from offhook.domain.accounts.agent import RING_METHODS
from offhook.domain.accounts.customer import METHODS
from offhook.domain.catalogue import EVENT_TYPES
from offhook.domain.delivery.delivery import DELETED, FAILING, FROZEN, GONE, OFF
from offhook.domain.delivery.delivery_log import LoggedStatus
from offhook.domain.delivery.outcome import Outcome
from offhook.domain.delivery.standing import State
from offhook.domain.telephony.call_filter import DIRECTIONS, STATUSES
from offhook.flows.activeflow import RUNNING_OR_ENDED

_METHODS = ("", *METHODS)
_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_STATUSES = tuple(status.value for status in LoggedStatus)

VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "Agent": {
        "ring_method": RING_METHODS,
        # An access key, which `GET /v1.0/me` shows as an agent, has none.
        "status": ("", "available", "away", "busy", "offline", "ringing"),
    },
    "NewAgent": {"ring_method": RING_METHODS},
    "AgentChange": {"ring_method": RING_METHODS},
    "AttemptRow": {"outcome": _OUTCOMES},
    "Customer": {
        "webhook_method": _METHODS,
        "status": ("active", "frozen", "deleted"),
        "identity_verification_status": ("none",),
        "webhook_disabled_reason": ("", GONE, FAILING, FROZEN, DELETED),
    },
    "CustomerChange": {"webhook_method": _METHODS},
    "NewActiveflow": {"webhook_method": _METHODS},
    "NewCustomer": {"webhook_method": _METHODS},
    "DeliveryRow": {
        "status": _STATUSES,
        "held_reason": ("", OFF, GONE, FAILING, FROZEN, DELETED),
        "last_outcome": ("", *_OUTCOMES),
    },
    "FailureRow": {"outcome": _OUTCOMES},
    "Health": {"status": ("ok",)},
    "Readyz": {"status": ("ok",), "switch": ("up", "down", "off")},
    "WebhookStats": {
        "state": tuple(state.value for state in State),
        "reason": ("", GONE, FAILING, FROZEN, DELETED, *(one for one in _OUTCOMES if one not in ("succeeded", GONE))),
    },
    "WebhookTestRequest": {"type": tuple(EVENT_TYPES)},
}
"""By schema and field."""

PARAMETERS: dict[str, dict[str, tuple[str, ...]]] = {
    "/readyz": {"switch": ("",)},
    "/v1.0/activeflows": {"status": RUNNING_OR_ENDED},
    "/v1.0/calls": {"status": STATUSES, "direction": DIRECTIONS},
    "/v1.0/deliveries": {"status": _STATUSES},
}
"""By path and query parameter."""
