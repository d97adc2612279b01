"""What was answered under the keys that customers give to their requests. Old ones go with `retention`."""

from __future__ import annotations

import sqlalchemy as sa

from offhook.domain.events.repeats import KeptAnswer
from offhook.store.commit.transaction import Transaction
from offhook.store.schema import idempotency_keys


def find_answer(tx: Transaction, customer_id: str, key: str) -> KeptAnswer | None:
    """What is kept under a customer's key, this group's own answers included."""
    row = tx.reader.execute(
        sa.select(idempotency_keys.c.digest, idempotency_keys.c.ids, idempotency_keys.c.tm_expire).where(
            idempotency_keys.c.customer_key == tx.customer_key(customer_id), idempotency_keys.c.idempotency_key == key
        )
    ).first()
    return None if row is None else KeptAnswer(digest=row.digest, ids=list(row.ids), until_us=row.tm_expire)


def keep_answer(tx: Transaction, customer_id: str, key: str, answer: KeptAnswer) -> None:
    """Keep this under the key, in place of what there was."""
    customer_key = tx.customer_key(customer_id)
    tx.add_write(
        sa.delete(idempotency_keys).where(
            idempotency_keys.c.customer_key == customer_key, idempotency_keys.c.idempotency_key == key
        )
    )
    tx.add_write(
        sa.insert(idempotency_keys).values(
            customer_key=customer_key,
            idempotency_key=key,
            digest=answer.digest,
            ids=answer.ids,
            tm_expire=answer.until_us,
        )
    )
