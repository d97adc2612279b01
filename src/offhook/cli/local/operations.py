"""What the commands on a data folder do: serve, init, reset a password."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvloop

from offhook.accounts.agents import reset_password as change_password
from offhook.accounts.first_customer import Credentials, create_first_customer
from offhook.accounts.passwords import Passwords
from offhook.app import Node, open_database, own_url, profile_of
from offhook.cli.local.first_start import FirstStart, show_ready, show_waiting
from offhook.domain.errors import OffhookError
from offhook.folder import DataFolder
from offhook.logs.setup import configure_logging
from offhook.node.garbage import exempt_what_is_there
from offhook.node.lifetime import run_until_stopped
from offhook.node.signals import StopSignals, ignore_signals
from offhook.node.supervisor import Supervisor
from offhook.settings.areas import Settings
from offhook.store.store import Store

T = TypeVar("T")

_PATIENCE_S = 5.0
_MAX_FILES = 131_072


def serve(settings: Settings, data: Path) -> int:
    """Run a node until it is told to stop; the exit code. The first signal drains, a second one stops at once."""
    configure_logging(settings.log.level, settings.log.format)
    _allow_many_files()
    try:
        with DataFolder(data) as folder:
            was_asked = uvloop.run(_serve(settings, folder))
            ignore_signals()
    except OffhookError as error:
        print(f"offhook: {error.message}", file=sys.stderr)
        return 1
    if not was_asked:
        print("offhook: ended, as a part failed that it cannot do without. The log above says which.", file=sys.stderr)
    return 0 if was_asked else 1


def init(settings: Settings, data: Path) -> Credentials:
    """Make the first customer of a new database. Raises ConflictError if there is one, MisconfiguredError."""
    with DataFolder(data) as folder:
        folder.check_profile()

        def keep(credentials: Credentials) -> None:
            folder.write_profile(profile_of(settings, credentials))

        return _with_store(settings, folder, lambda store: create_first_customer(store, Passwords(), keep))


def reset_password(settings: Settings, data: Path, username: str) -> str:
    """A new password for an agent, without its old one. Raises NotFoundError, MisconfiguredError."""
    with DataFolder(data) as folder:
        return _with_store(settings, folder, lambda store: change_password(store, Passwords(), username))


async def _serve(settings: Settings, folder: DataFolder) -> bool:
    async with Supervisor() as supervisor:
        first = FirstStart(folder, partial(profile_of, settings))
        node = Node(settings, folder, supervisor, first.keep, first.note)
        renew = partial(folder.renew_profile, own_url(settings))
        try:
            return await run_until_stopped(supervisor, _start(node, renew, first), StopSignals(node.kill))
        finally:
            # Whatever became of the start: nobody can be shown them later.
            first.show()


async def _start(node: Node, renew_profile: Callable[[], None], first: FirstStart) -> None:
    opened = await node.open()
    first.remind()
    renew_profile()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await node.ready()
    except TimeoutError:
        show_waiting(node.missing())
        first.show()
        await node.ready()
    exempt_what_is_there()
    show_ready(opened)
    first.show()


def _with_store(settings: Settings, folder: DataFolder, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = Store(open_database(settings, folder.path))
        try:
            await store.start()
            return await work(store)
        finally:
            await store.stop()

    return asyncio.run(run())


def _allow_many_files() -> None:
    """As many connections as the machine allows: the default of 1024 files is soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MAX_FILES) if hard > 0 else _MAX_FILES, hard))
