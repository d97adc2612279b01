"""The event log: reading, attempts, resend, replay, erasing. Publishing is in `web.publish`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from litestar import delete, get, post

from offhook.domain.accounts.customer import MANAGERS, Permission
from offhook.domain.catalogue import EVENT_TYPES
from offhook.domain.delivery.delivery_log import LoggedAttempt
from offhook.domain.errors import InvalidError
from offhook.domain.events.cursor import check_reached, cursor_text, read_cursor
from offhook.domain.events.event import Event
from offhook.domain.events.replay import Only, checked_replay
from offhook.domain.times import from_us, rfc3339
from offhook.store.queries.deliveries import attempts_of_event, deliveries_of_event
from offhook.store.queries.events import get_event, list_events, newest_events
from offhook.web.http.streamed_json import StreamedJson
from offhook.web.request import AnyRequest, customer_in, page_size_of, services_of
from offhook.web.shapes.deliveries import AttemptRow, DeliveryRow, attempt_row, delivery_rows

ADMIN = Permission.CUSTOMER_ADMIN
_LARGE_PAGE_BYTES = 1024 * 1024
_NEWEST = "newest"


class EventShape(msgspec.Struct, frozen=True):
    """An event (contract, section 5). `data` is null once it was erased."""

    id: str
    type: str
    subject: str
    sequence: int | None
    position: int
    data: Any
    tm_create: str


class EventWithDeliveries(EventShape, frozen=True):
    """One event, and where it went."""

    deliveries: list[DeliveryRow]


class EventPage(msgspec.Struct, frozen=True):
    """Oldest first: ask again with `after=next_cursor`, now or later, and get only what is new.

    Newest first where `before` was given: ask again with `before=next_cursor` for older ones, until it is at 0.
    """

    result: list[EventShape]
    next_cursor: str


class EventTypeShape(msgspec.Struct, frozen=True):
    """One kind of event: when it is sent, the JSON schema of its envelope, and a sample."""

    type: str
    description: str
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]


class EventTypeList(msgspec.Struct, frozen=True):
    """The whole catalogue."""

    result: list[EventTypeShape]


class AttemptList(msgspec.Struct, frozen=True):
    """The attempts, oldest first, success included; the newest 1,000 of them, if there were more."""

    result: list[AttemptRow]


class ResendAnswer(msgspec.Struct, frozen=True):
    """The event's deliveries, the new one among them."""

    deliveries: list[DeliveryRow]


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after` a cursor or `since` a time (RFC 3339), one of both; `only` failed ones (the default) or all."""

    after: int | str | None = None
    since: str | None = None
    until: str | None = None
    types: list[str] = []
    only: Only = "failed"


class Count(msgspec.Struct, frozen=True):
    """How many events it was."""

    count: int


@get("/v1.0/event_types", tags=["events"])
async def event_types(request: AnyRequest) -> EventTypeList:
    """Every event type with its description, JSON schema and a sample."""
    await customer_in(request, MANAGERS | Permission.CUSTOMER_AGENT)
    return EventTypeList(
        [EventTypeShape(kind.name, kind.description, kind.schema, kind.sample) for kind in EVENT_TYPES.values()]
    )


@get("/v1.0/events", tags=["events"])
async def list_all(
    request: AnyRequest,
    after: str = "",
    before: str = "",
    type: str | None = None,  # noqa: A002 - the contract's name
    subject: str | None = None,
    page_size: int | None = None,
) -> EventPage:
    """Everything since a cursor, oldest first, whether or not a webhook is set.

    `after` is a `next_cursor`, or a position; absent: from the beginning. One that this log has not reached, or of
    another epoch (a backup was restored), is a 409. A page may hold less than `page_size`, or nothing, and not be the
    last, if few events match `type` or `subject`: the last one is that whose `next_cursor` is the `after` that it was
    asked with.

    With `before`, a cursor or a position or `newest`, newest first instead: what came before it. `next_cursor` is then
    the next `before`, and at position 0 once there is nothing older. Not together with `after`.
    """
    customer_id = await customer_in(request, MANAGERS)
    if before:
        return await _newest(request, customer_id, _before(before, after), type, subject, page_size_of(page_size))
    start = read_cursor(after, reason="INVALID_REQUEST_PARAMETER") if after else 0
    found, position = await services_of(request).store.read_for_api(
        lambda connection: list_events(
            connection, customer_id, after=start, type=type, subject=subject, page_size=page_size_of(page_size)
        )
    )
    check_reached(start, position)
    return _page(found, cursor_text(position))


async def _newest(
    request: AnyRequest,
    customer_id: str,
    before: int | None,
    type: str | None,  # noqa: A002 - the contract's name
    subject: str | None,
    page_size: int,
) -> EventPage:
    found, position = await services_of(request).store.read_for_api(
        lambda connection: newest_events(
            connection, customer_id, before=before, type=type, subject=subject, page_size=page_size
        )
    )
    return _page(found, cursor_text(position))


def _before(before: str, after: str) -> int | None:
    """The position that `before` names; None for the newest."""
    if after:
        raise InvalidError(
            "Give one of after (oldest first) and before (newest first).",
            reason="INVALID_REQUEST_PARAMETER",
            field="before",
        )
    return None if before == _NEWEST else read_cursor(before, reason="INVALID_REQUEST_PARAMETER", field="before")


def _page(found: list[Event], cursor: str) -> EventPage:
    if sum(len(event.payload) for event in found) <= _LARGE_PAGE_BYTES:
        return EventPage([_shape(event) for event in found], cursor)
    # Litestar takes a ready answer in place of the declared value.
    return StreamedJson(_pieces(found, cursor))  # type: ignore[return-value]


def _pieces(found: list[Event], cursor: str) -> Iterator[bytes]:
    """A page as JSON, an event at a time: many megabytes at once would hold everybody up."""
    start = b'{"result":['
    for event in found:
        yield start + msgspec.json.encode(_shape(event))
        start = b","
    yield b'],"next_cursor":' + msgspec.json.encode(cursor) + b"}"


@get("/v1.0/events/{event_id:str}", tags=["events"])
async def show(request: AnyRequest, event_id: str) -> EventWithDeliveries:
    """One event with its deliveries."""
    customer_id = await customer_in(request, MANAGERS)
    services = services_of(request)
    event, deliveries = await services.store.read_for_api(
        lambda connection: (
            get_event(connection, customer_id, event_id),
            deliveries_of_event(connection, customer_id, event_id),
        )
    )
    shape = _shape(event)
    fields = {name: getattr(shape, name) for name in shape.__struct_fields__}
    return EventWithDeliveries(**fields, deliveries=delivery_rows(deliveries, services.delivering.behind))


@get("/v1.0/events/{event_id:str}/attempts", tags=["events"])
async def attempts(request: AnyRequest, event_id: str) -> AttemptList:
    """The attempts at an event.

    An event that was sent again very often has more than an answer holds: it is the newest 1,000, out of those at its
    newest 1,000 deliveries.
    """
    customer_id = await customer_in(request, MANAGERS)
    found = await services_of(request).store.read_for_api(
        lambda connection: attempts_of_event(connection, customer_id, event_id)
    )
    if sum(len(attempt.response) for attempt in found) <= _LARGE_PAGE_BYTES:
        return AttemptList([attempt_row(attempt) for attempt in found])
    return StreamedJson(_attempt_pieces(found))  # type: ignore[return-value]


def _attempt_pieces(found: list[LoggedAttempt]) -> Iterator[bytes]:
    """An `AttemptList` as JSON, an attempt at a time, as `_pieces`."""
    start = b'{"result":['
    for attempt in found:
        yield start + msgspec.json.encode(attempt_row(attempt))
        start = b","
    yield b"]}"


@post("/v1.0/events/{event_id:str}/resend", status_code=202, tags=["events"])
async def send_again(request: AnyRequest, event_id: str) -> ResendAnswer:
    """Send one event again now."""
    customer_id = await customer_in(request, ADMIN)
    services = services_of(request)
    found = await services.log.resend(customer_id, event_id)
    return ResendAnswer(delivery_rows(found, services.delivering.behind))


@post("/v1.0/events/replay", status_code=202, tags=["events"])
async def replay_many(request: AnyRequest, data: ReplayRequest) -> Count:
    """Send a stretch of the log again: what failed, or all of it. What is still on its way is left alone."""
    customer_id = await customer_in(request, ADMIN)
    wanted = checked_replay(after=data.after, since=data.since, until=data.until, types=data.types, only=data.only)
    return Count(await services_of(request).log.replay(customer_id, wanted))


@delete("/v1.0/events", status_code=200, tags=["events"])
async def erase(request: AnyRequest, subject: str = "") -> Count:
    """Erase the payloads of a subject's events for good; a tombstone stays for each.

    From the first moment on none of them is sent or shown any more. The answer comes when all are gone; if it does
    not come, the rest follows by itself. What is published about the subject meanwhile is not erased.
    """
    customer_id = await customer_in(request, ADMIN)
    if not subject:
        raise InvalidError(
            "subject says whose events to erase, for example call/<uuid>.",
            reason="MISSING_REQUEST_PARAMETER",
            field="subject",
        )
    return Count(await services_of(request).log.erase(customer_id, subject))


def _shape(event: Event) -> EventShape:
    return EventShape(
        id=event.id,
        type=event.type,
        subject=event.subject,
        sequence=event.sequence,
        position=event.position,
        data=msgspec.Raw(event.data),
        tm_create=rfc3339(from_us(event.created_us)),
    )
