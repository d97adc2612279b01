"""A delivery: one event on its way to one destination, and what one attempt at it found."""

from __future__ import annotations

import msgspec

from offhook.domain.delivery.health import Failure
from offhook.domain.delivery.outcome import Outcome
from offhook.domain.errors import ConflictError

OFF = "off"
"""A destination's `held_reason`: there is no uri. The others: it answered 410, it failed for long, its customer is
frozen, its customer is deleted and what was pending is being cancelled."""
GONE = "gone"
FAILING = "failing"
FROZEN = "frozen"
DELETED = "deleted"


class Delivery(msgspec.Struct, gc=False):
    """What the engine needs of a delivery that is not final; it changes with every attempt.

    `subject` is empty for an event that belongs to none. Points in time are microseconds since 1970.
    """

    key: int
    destination_key: int
    event_id: str
    subject: str
    sequence: int | None
    position: int
    payload: bytes
    family: str
    created_us: int
    due_us: int
    attempt_count: int = 0
    first_failed_us: int | None = None


class Destination(msgspec.Struct, frozen=True):
    """Where deliveries go now. `held_reason` is empty while it is in use; `secrets` are the live ones, newest first.

    `failing_since_us`, `failure` and `is_probed` are of the present run of failures, `answering_since_us` is the end of
    the last one at this uri, `changed_us` when uri or `held_reason` were last another.
    """

    key: int
    customer_id: str
    activeflow_id: str
    uri: str
    uri_key: int | None
    method: str
    held_reason: str
    failing_since_us: int | None
    secrets: tuple[str, ...]
    old_secret_until_us: int | None = None
    failure: Failure | None = None
    is_probed: bool = False
    answering_since_us: int | None = None
    changed_us: int | None = None

    @property
    def name(self) -> str:
        """As the contract calls it: `customer`, or `activeflow/<uuid>`."""
        return destination_name(self.activeflow_id)


def destination_name(activeflow_id: str) -> str:
    """What a destination is called; an empty `activeflow_id` means the customer's own webhook."""
    return f"activeflow/{activeflow_id}" if activeflow_id else "customer"


def check_is_on(webhook: Destination) -> None:
    """Raises ConflictError if there is nowhere to send to; one that is held for another reason passes."""
    if not webhook.uri:
        raise ConflictError(
            "The webhook is off. Set webhook_uri with PUT /v1.0/customer first.",
            reason="WEBHOOK_OFF",
            field="webhook_uri",
        )


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One attempt that came to an end, and what became of its delivery.

    `status` is one of `pending` (there will be another, at `due_us`), `succeeded` or `exhausted`.
    `detail` says more of a failure without an answer, and is empty otherwise. `took_us` runs from the creation of the
    delivery to the end of the response head. One that `may_be_written` was given to a commit whose end is not known.
    """

    delivery_key: int
    destination_key: int
    number: int
    uri_key: int | None
    outcome: Outcome
    status_code: int | None
    started_us: int
    latency_ms: int
    response: bytes
    status: str
    due_us: int
    first_failed_us: int | None
    ended_us: int
    detail: str = ""
    took_us: int = 0
    may_be_written: bool = False
