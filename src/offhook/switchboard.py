"""Composing the telephony: an embedded Asterisk, one of the operator's, or none at all."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from offhook.domain.call import Call
from offhook.domain.errors import MisconfiguredError, UnavailableError
from offhook.folder import DataFolder
from offhook.settings import Settings
from offhook.store.customers import first_customer_id
from offhook.store.store import Store
from offhook.switch.asterisk.ari import AriEndpoint
from offhook.switch.asterisk.configuration import Rtp
from offhook.switch.asterisk.embedded import EmbeddedAsterisk
from offhook.switch.asterisk.installation import default_root, is_installed
from offhook.switch.asterisk.switch import AsteriskSwitch
from offhook.telephony.calls import CallService, end_open_calls
from offhook.telephony.live_call import CallSettings
from offhook.web.services import CallControl

log = structlog.get_logger()

_PATIENCE_S = 35.0
_LOOK_S = 0.5


class Telephony(msgspec.Struct, frozen=True):
    """Control of calls for the API, and what is not ready yet ("" if nothing)."""

    calls: CallControl
    missing: Callable[[], str]


class NoCalls:
    """What the API is given without a phone system."""

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """Raises UnavailableError."""
        raise UnavailableError("This server runs without a phone system. Start it without --no-switch.")


class Switchboard(msgspec.Struct, frozen=True):
    """Where the Asterisk is, None without one; `sip` is where anybody on this machine may call the embedded one."""

    endpoint: AriEndpoint | None
    sip: str = ""
    asterisk: EmbeddedAsterisk | None = None

    @property
    def port(self) -> int | None:
        """The port of its ARI, which no webhook may reach."""
        return None if self.endpoint is None else urlsplit(self.endpoint.url).port


async def start_asterisk(settings: Settings, folder: DataFolder, stack: AsyncExitStack) -> Switchboard:
    """Find the Asterisk that the settings ask for, or start it; `stack` stops it again. Raises MisconfiguredError."""
    if not settings["switch.enabled"]:
        return Switchboard(None)
    if settings["switch.asterisk_url"]:
        return Switchboard(_own_endpoint(settings))
    if not is_installed(default_root()):
        log.warning(
            "switch.missing",
            hint="no embedded Asterisk here: run `make setup`, or point to your own with --asterisk URL",
        )
        return Switchboard(None)
    host, port = settings["switch.sip"]
    asterisk = EmbeddedAsterisk(
        folder.path / "asterisk",
        default_root(),
        sip_host=host,
        sip_port=port,
        rtp=Rtp(
            settings["switch.rtp_first"],
            settings["switch.rtp_last"],
            settings["switch.rtp_timeout"],
            settings["switch.rtp_timeout_hold"],
        ),
    )
    await asterisk.start()
    stack.push_async_callback(asterisk.stop)
    return Switchboard(asterisk.endpoint, asterisk.sip if asterisk.takes_local_calls else "", asterisk)


async def watch_over(asterisk: EmbeddedAsterisk, is_connected: Callable[[], bool], patience_s: float) -> None:
    """Kill an Asterisk that lives and lets nobody connect for that long; its supervisor starts another one.

    Seen with Asterisk 22: after an event stream went away in mid-call, no new one was accepted. By then its calls are
    over for us anyway (`CallSettings.lost_after`).
    """
    seen = time.monotonic()
    while True:
        await asyncio.sleep(_LOOK_S)
        now = time.monotonic()
        if is_connected():
            seen = now
        elif now - seen > patience_s:
            log.error("asterisk.hangs", pid=asterisk.pid, hint="it is started anew")
            seen = now
            with suppress(ProcessLookupError):
                os.kill(asterisk.pid, signal.SIGKILL)


async def start_calls(settings: Settings, board: Switchboard, store: Store, stack: AsyncExitStack) -> Telephony:
    """Take calls; `stack` ends them again, while the switch can still be told to."""
    if board.endpoint is None:
        await end_open_calls(store)
        return Telephony(NoCalls(), lambda: "")
    switch = AsteriskSwitch(board.endpoint)

    async def owner_of_number(number: str) -> str | None:
        """Until customers have numbers, every number is the first customer's."""
        return await store.read(first_customer_id)

    calls = CallService(
        store,
        switch,
        owner_of_number,
        CallSettings(ring_time=settings["switch.ring_time"], greeting=settings["switch.greeting"]),
    )
    await calls.start()
    stack.push_async_callback(switch.stop)
    stack.push_async_callback(calls.stop)
    await switch.start()
    if board.asterisk is not None:
        watching = asyncio.create_task(watch_over(board.asterisk, lambda: switch.is_connected, _PATIENCE_S))
        stack.callback(watching.cancel)
    return Telephony(calls, lambda: "" if switch.is_connected else "Asterisk is not connected")


def _own_endpoint(settings: Settings) -> AriEndpoint:
    file = Path(settings["switch.asterisk_password_file"])
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MisconfiguredError(
            f"The ARI password cannot be read from {str(file)!r}: {error}. Set switch.asterisk_password_file.",
            field="switch.asterisk_password_file",
        ) from None
    return AriEndpoint(str(settings["switch.asterisk_url"]).rstrip("/"), settings["switch.asterisk_user"], password)
