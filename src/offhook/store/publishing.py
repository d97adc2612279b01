"""Accepting published events: whole or not at all, and once however often the request is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from offhook.domain.errors import ConflictError
from offhook.domain.event import Event, NewEvent
from offhook.domain.ids import new_event_id
from offhook.domain.publication import Publication
from offhook.store.events import find_events
from offhook.store.schema import idempotency_keys
from offhook.store.transaction import Transaction

_REMEMBERED_US = timedelta(hours=24) // timedelta(microseconds=1)


def publish(
    tx: Transaction,
    customer_id: str,
    publications: Sequence[Publication],
    *,
    idempotency_key: str = "",
    digest: bytes = b"",
) -> list[str]:
    """Add the events; their ids, in order. `digest` is of the request's body.

    A repeated request (the same key, or the same given ids) adds nothing and gets the same ids. Raises ConflictError
    if a key or an id stands for something else already. Repeats may meet in one group.
    """
    if idempotency_key:
        before = _remembered(tx, customer_id, idempotency_key, digest)
        if before is not None:
            return before
    present = _present(tx, customer_id, publications)
    ids = []
    added: set[str] = set()
    for publication in publications:
        event_id = publication.id or new_event_id()
        ids.append(event_id)
        if event_id in present or event_id in added:
            continue
        if publication.id:
            added.add(event_id)
        event = NewEvent(customer_id, publication.type, publication.subject, publication.payload, event_id)
        tx.add_event(event, may_be_repeated=bool(publication.id))
    if idempotency_key:
        _remember(tx, customer_id, idempotency_key, digest, ids)
    return ids


def _present(tx: Transaction, customer_id: str, publications: Sequence[Publication]) -> dict[str, Event | NewEvent]:
    """Those of the events that are there already. Raises ConflictError if one of them is another event."""
    given = {publication.id for publication in publications if publication.id}
    if not given:
        return {}
    present: dict[str, Event | NewEvent] = {**find_events(tx.reader, customer_id, given)}
    added = ((event_id, tx.added_event(customer_id, event_id)) for event_id in given)
    present.update((event_id, event) for event_id, event in added if event is not None)
    for index, publication in enumerate(publications):
        event = present.get(publication.id)
        if event is not None and not _is_same(event, publication):
            raise ConflictError(
                f"The id {publication.id} belongs to another event.",
                reason="EVENT_ID_REUSED",
                field="id",
                index=index if len(publications) > 1 else None,
            )
    return present


def _is_same(event: Event | NewEvent, publication: Publication) -> bool:
    return (event.type, event.subject, event.payload) == (publication.type, publication.subject, publication.payload)


def _remembered(tx: Transaction, customer_id: str, key: str, digest: bytes) -> list[str] | None:
    row = tx.reader.execute(
        sa.select(idempotency_keys.c.digest, idempotency_keys.c.ids, idempotency_keys.c.tm_expire).where(
            idempotency_keys.c.customer_key == tx.customer_key(customer_id), idempotency_keys.c.idempotency_key == key
        )
    ).first()
    if row is None or row.tm_expire <= tx.now_us:
        return None
    if row.digest != digest:
        raise ConflictError(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            reason="IDEMPOTENCY_KEY_REUSED",
            field="Idempotency-Key",
        )
    return list(row.ids)


def _remember(tx: Transaction, customer_id: str, key: str, digest: bytes, ids: list[str]) -> None:
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
            digest=digest,
            ids=ids,
            tm_expire=tx.now_us + _REMEMBERED_US,
        )
    )
