"""An example of each body that the API takes, for the OpenAPI document and its page; a test sends every one."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/auth/login"): {"username": "admin@localhost", "password": "the password of the first start"},
    ("post", "/v1.0/accesskeys"): {"name": "ci", "detail": "for the build server", "expire": 7_776_000},
    ("put", "/v1.0/accesskeys/{key_id}"): {"name": "ci", "detail": "for the new build server"},
    ("post", "/v1.0/agents"): {
        "username": "anna@bakery.example",
        "password": "correct horse battery",
        "name": "Anna",
        "permission": 16,
        "addresses": [{"type": "tel", "target": "+15551234567"}],
    },
    ("put", "/v1.0/agents/{agent_id}"): {"name": "Anna B.", "ring_method": "linear"},
    ("put", "/v1.0/agents/{agent_id}/password"): {"password": "another long password"},
    ("put", "/v1.0/customer"): {"webhook_uri": "https://hooks.bakery.example/voipbin", "webhook_method": "POST"},
    ("post", "/v1.0/customer/webhook_test"): {"type": "call_hungup"},
    ("post", "/v1.0/customers"): {
        "name": "Lake Bakery",
        "email": "ops@bakery.example",
        "username": "ops@bakery.example",
        "password": "correct horse battery",
    },
    ("put", "/v1.0/customers/{customer}"): {"name": "Lake Bakery Ltd"},
    ("post", "/v1.0/activeflows"): {
        "actions": [{"type": "variable_set", "option": {"key": "greeting", "value": "hello"}}, {"type": "stop"}],
        "variables": {"language": "en"},
    },
    ("post", "/v1.0/calls/{call_id}/mute"): {"direction": "in"},
    ("delete", "/v1.0/calls/{call_id}/mute"): {"direction": "in"},
    ("post", "/v1.0/flows"): {
        "name": "Greeting",
        "actions": [
            {"type": "answer"},
            {"type": "play", "option": {"stream_urls": ["sound:hello-world"]}},
            {"type": "hangup"},
        ],
    },
    ("put", "/v1.0/flows/{flow_id}"): {"name": "Greeting at night"},
    ("post", "/v1.0/numbers"): {"number": "+1 555 010-0199", "name": "Hot line"},
    ("put", "/v1.0/numbers/{number_id}"): {"name": "Night line"},
    ("put", "/v1.0/numbers/{number_id}/flow_ids"): {"call_flow_id": "", "message_flow_id": ""},
    ("post", "/v1.0/events"): {
        "type": "order_paid",
        "subject": "order/4711",
        "id": "order-4711-paid",
        "data": {"amount": "12.50", "currency": "EUR"},
    },
    ("post", "/v1.0/events/replay"): {"since": "2026-05-02T09:00:00Z", "types": ["call_hungup"], "only": "failed"},
}
"""By method and path."""
