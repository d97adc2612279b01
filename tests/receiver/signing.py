"""Making the request that Offhook would make."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from offhook.domain.delivery.signature import Signer

EVENT_ID = "evt_01k2j8n5v7q3x9w4r6t0y1z2ab"
CALL = {"type": "call_hungup", "data": {"id": "c1", "hangup_reason": "normal"}}


def body_of(envelope: Any = None) -> bytes:
    return json.dumps(CALL if envelope is None else envelope).encode()


def signed_headers(
    secret: str | list[str], body: bytes, *, at: datetime, event_id: str = EVENT_ID, **others: str
) -> dict[str, str]:
    """The headers of one attempt at `at`; `others` are further ones, with _ for -."""
    secrets = [secret] if isinstance(secret, str) else secret
    standard, voipbin = Signer(secrets).headers(event_id, int(at.timestamp()), body)
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": standard,
        "X-VoIPBIN-Signature": voipbin,
        **{name.replace("_", "-"): value for name, value in others.items()},
    }
