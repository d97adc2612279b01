"""An event: what happened to one resource, in the bytes that every attempt, read and replay carries.

The envelope on the wire is exactly `{"type": "...", "data": {...}}` (contract, section 3) and is encoded once.
Reading what a publisher sends lives in `domain.publication`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from offhook.domain.errors import ConflictError
from offhook.domain.ids import NIL_UUID

_encoder = msgspec.json.Encoder()


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has been decided and not yet committed.

    `payload` is the whole envelope. An empty `subject` means that it belongs to none: it gets no sequence and is
    delivered in no order. An empty `id` lets the store give one.
    """

    customer_id: str
    type: str
    subject: str
    payload: bytes
    id: str = ""
    activeflow_id: str = ""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A committed event. `key` is the database's own, `created_us` microseconds since 1970."""

    key: int
    id: str
    customer_id: str
    type: str
    subject: str
    sequence: int | None
    position: int
    payload: bytes
    created_us: int
    is_erased: bool = False

    @property
    def data(self) -> bytes:
        """The envelope's `data`, as the bytes that were published."""
        return data_of(self.type, self.payload)


def check_is_kept(event: Event) -> None:
    """Raises ConflictError if the event's payload was erased."""
    if event.is_erased:
        raise ConflictError("The event was erased; there is nothing left to send.", reason="EVENT_ERASED", field="id")


def _head(type_: str) -> bytes:
    return b'{"type":"' + type_.encode() + b'","data":'


def envelope(type_: str, data: bytes) -> bytes:
    """The envelope around `data`, which is JSON already; `type_` needs no escaping (`[a-z][a-z0-9_]*`)."""
    return _head(type_) + data + b"}"


def data_of(type_: str, payload: bytes) -> bytes:
    """The inverse of `envelope`."""
    return payload[len(_head(type_)) : -1] or b"null"


def resource_event(
    type_: str,
    data: msgspec.Struct | dict[str, Any],
    *,
    customer_id: str,
    subject: str,
    activeflow_id: str = NIL_UUID,
) -> NewEvent:
    """The event that `data`, the public shape of a resource, has changed."""
    return NewEvent(
        customer_id=customer_id,
        type=type_,
        subject=subject,
        payload=envelope(type_, _encoder.encode(data)),
        activeflow_id="" if activeflow_id == NIL_UUID else activeflow_id,
    )
