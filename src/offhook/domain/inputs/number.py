"""What a number can be told."""

from __future__ import annotations

import msgspec

KIND = "number"

BY_DIGITS = "digits"
"""The index by which a number is found, however it is written: one there at most."""
BY_FLOW = "flow"
"""The index by which a flow's numbers are found."""


class Make(msgspec.Struct, frozen=True):
    """Makes a number, in the form in which it is kept, unless it is somebody's."""

    id: str
    customer_id: str
    number: str
    name: str
    detail: str
    call_flow_id: str
    message_flow_id: str


class Change(msgspec.Struct, frozen=True):
    """Other values; None leaves one as it is."""

    name: str | None = None
    detail: str | None = None
    call_flow_id: str | None = None
    message_flow_id: str | None = None
