"""Composing the telephony: an embedded Asterisk, one of the operator's, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec

from offhook.domain.call import Call
from offhook.domain.errors import UnavailableError
from offhook.folder import DataFolder
from offhook.settings import Settings
from offhook.store.store import Store
from offhook.web.services import CallControl


class Telephony(msgspec.Struct, frozen=True):
    """Control of calls for the API, what is not ready yet ("" if nothing), and where SIP is taken ("" if nowhere)."""

    calls: CallControl
    missing: Callable[[], str]
    sip: str


class NoCalls:
    """What the API is given without a phone system."""

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """Raises UnavailableError."""
        raise UnavailableError("This server runs without a phone system. Start it without --no-switch.")


async def start_telephony(settings: Settings, folder: DataFolder, store: Store, stack: AsyncExitStack) -> Telephony:
    """Start what the settings ask for; `stack` stops it again."""
    return Telephony(NoCalls(), lambda: "", "")
