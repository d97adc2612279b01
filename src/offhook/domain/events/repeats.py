"""Requests that are made again: what counts as the same one, for how long, and what stands for something else.

A publisher who got no answer sends its request once more, under the same Idempotency-Key or with the same ids of its
own, and gets the answer of the first one (contract, section 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from offhook.domain.errors import ConflictError
from offhook.domain.events.event import Event, NewEvent
from offhook.domain.events.publication import Publication

_REMEMBERED_US = timedelta(hours=24) // timedelta(microseconds=1)


class KeptAnswer(msgspec.Struct, frozen=True):
    """What was answered under a key: to a body with this digest, these ids; good until a time (µs since 1970)."""

    digest: bytes
    ids: list[str]
    until_us: int


def kept_answer(digest: bytes, ids: list[str], now_us: int) -> KeptAnswer:
    """What to keep of an answer that is given now."""
    return KeptAnswer(digest, ids, now_us + _REMEMBERED_US)


def answer_again(kept: KeptAnswer | None, digest: bytes, now_us: int) -> list[str] | None:
    """The ids to answer with once more; None if this request is a new one. `kept` is what there is under its key.

    Raises ConflictError if the key stands for another body.
    """
    if kept is None or kept.until_us <= now_us:
        return None
    if kept.digest != digest:
        raise ConflictError(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            reason="IDEMPOTENCY_KEY_REUSED",
            field="Idempotency-Key",
        )
    return kept.ids


def check_repeated_events(publications: Sequence[Publication], present: Mapping[str, Event | NewEvent]) -> None:
    """Raises ConflictError if one of the publications has the id of an event, by id in `present`, that is another."""
    for index, publication in enumerate(publications):
        event = present.get(publication.id)
        if event is not None and not _is_same(event, publication):
            raise ConflictError(
                f"The id {publication.id} belongs to another event.",
                reason="EVENT_ID_REUSED",
                field="id",
                index=index if len(publications) > 1 else None,
            )


def _is_same(event: Event | NewEvent, publication: Publication) -> bool:
    return (event.type, event.subject, event.payload) == (publication.type, publication.subject, publication.payload)
