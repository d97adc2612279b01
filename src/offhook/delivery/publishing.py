"""Accepting published events: whole or not at all, and once however often the request is repeated."""

from __future__ import annotations

from collections.abc import Sequence

from offhook.domain.events.event import Event, NewEvent
from offhook.domain.events.publication import Publication
from offhook.domain.events.repeats import answer_again, check_repeated_events, kept_answer
from offhook.domain.ids import new_event_id
from offhook.store.commit.transaction import Transaction
from offhook.store.queries.events import find_events
from offhook.store.queries.idempotency import find_answer, keep_answer


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
        before = answer_again(find_answer(tx, customer_id, idempotency_key), digest, tx.now_us)
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
        keep_answer(tx, customer_id, idempotency_key, kept_answer(digest, ids, tx.now_us))
    return ids


def _present(tx: Transaction, customer_id: str, publications: Sequence[Publication]) -> dict[str, Event | NewEvent]:
    """Those of the events that are there already. Raises ConflictError if one of them is another event."""
    given = {publication.id for publication in publications if publication.id}
    if not given:
        return {}
    present: dict[str, Event | NewEvent] = {**find_events(tx.reader, customer_id, given)}
    added = ((event_id, tx.added_event(customer_id, event_id)) for event_id in given)
    present.update((event_id, event) for event_id, event in added if event is not None)
    check_repeated_events(publications, present)
    return present
