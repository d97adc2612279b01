"""What was revoked is refused, whatever became of whoever revoked it."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from offhook.accounts.access_keys import AccessKeys
from offhook.accounts.authentication import Authenticator
from offhook.accounts.passwords import Passwords
from offhook.accounts.tokens import load_login_tokens
from offhook.domain.errors import UnauthenticatedError
from offhook.store.store import Store
from tests.store.conftest import customer, database_url, store

__all__ = ["customer", "database_url", "store"]
ADDRESS = "192.0.2.1"


async def test_an_access_key_is_refused_though_the_request_that_deleted_it_was_broken_off(
    store: Store,
    customer: str,
) -> None:
    passwords = Passwords()
    authenticator = Authenticator(store, await load_login_tokens(store, timedelta(days=1)), passwords)
    keys = AccessKeys(store, authenticator)
    made, token = await keys.create(customer, "one", "", None)
    await authenticator.caller_of(token, ADDRESS)

    go_on = threading.Event()
    before = asyncio.ensure_future(store.write(lambda tx: go_on.wait(10)))
    deleting = asyncio.ensure_future(keys.delete(customer, made.id))
    await asyncio.sleep(0)
    deleting.cancel()
    await asyncio.wait([deleting])
    # Used once more before the deletion is on disk.
    await authenticator.caller_of(token, ADDRESS)
    go_on.set()
    await before
    await store.write(lambda tx: None)
    with pytest.raises(UnauthenticatedError):
        await authenticator.caller_of(token, ADDRESS)
