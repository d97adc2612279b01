"""Access keys: made, changed, deleted; the secret is shown once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from offhook.accounts.authentication import Authenticator
from offhook.accounts.tokens import access_key_hash, access_key_prefix, new_access_key
from offhook.domain.accounts.access_key import AccessKey, NewAccessKey, check_is_there, expiry_us
from offhook.domain.ids import new_uuid
from offhook.store.commit.transaction import Transaction
from offhook.store.queries import access_keys
from offhook.store.store import Store


class AccessKeys:
    """Changes access keys; each change takes effect with its commit, also for keys that were used before."""

    def __init__(self, store: Store, authenticator: Authenticator) -> None:
        self._store = store
        self._authenticator = authenticator

    async def create(self, customer_id: str, name: str, detail: str, expire_s: float | None) -> tuple[AccessKey, str]:
        """An access key, and its secret, for the only time; `expire_s` None: a year. Raises InvalidError (expire)."""
        key_id, token = new_uuid(), new_access_key()
        new = access_key_of(token, name, detail, expire_s)

        def change(tx: Transaction) -> AccessKey:
            access_keys.add_access_key(tx, key_id, customer_id, new)
            return access_keys.get_access_key(tx.reader, customer_id, key_id)

        made = await self._store.write(change)
        self._authenticator.add_known(token)
        return made, token

    async def change(self, customer_id: str, key_id: str, values: Mapping[str, str]) -> AccessKey:
        """Change name and detail. Raises NotFoundError, ConflictError."""

        def change(tx: Transaction) -> AccessKey:
            _check_key_is_there(tx, customer_id, key_id)
            access_keys.change_access_key(tx, customer_id, key_id, **values)
            return access_keys.get_access_key(tx.reader, customer_id, key_id)

        return await self._store.write(change)

    async def delete(self, customer_id: str, key_id: str) -> AccessKey:
        """Delete a key: it is refused from now on. Raises NotFoundError, ConflictError."""

        def change(tx: Transaction) -> AccessKey:
            _check_key_is_there(tx, customer_id, key_id)
            access_keys.change_access_key(tx, customer_id, key_id, tm_delete=tx.now_us)
            return access_keys.get_access_key(tx.reader, customer_id, key_id, deleted=True)

        return await self._store.write(change)


def access_key_of(token: str, name: str, detail: str, expire_s: float | None) -> NewAccessKey:
    """What is kept of a new access key with the secret `token`. Raises InvalidError (expire)."""
    return NewAccessKey(
        name=name,
        detail=detail,
        token_prefix=access_key_prefix(token),
        token_hash=access_key_hash(token),
        expire_us=expiry_us(expire_s, datetime.now(UTC)),
    )


def _check_key_is_there(tx: Transaction, customer_id: str, key_id: str) -> None:
    check_is_there(access_keys.get_access_key(tx.reader, customer_id, key_id, deleted=True))
