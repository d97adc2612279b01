"""The delivery log and its numbers."""

from __future__ import annotations

import msgspec
from litestar import get

from offhook.domain.accounts.customer import MANAGERS
from offhook.domain.delivery.counts import HOURS_KEPT
from offhook.domain.delivery.standing import standing_of
from offhook.domain.errors import InvalidError
from offhook.store.queries.deliveries import list_deliveries
from offhook.store.queries.stats import webhook_numbers
from offhook.web.request import AnyRequest, customer_in, page_size_of, services_of
from offhook.web.shapes.deliveries import DeliveryRow, WebhookStats, delivery_rows, read_status, webhook_stats
from offhook.web.shapes.page_tokens import key_token, read_key_token

_DAY_S = 86_400
_LONGEST_S = int(HOURS_KEPT.total_seconds())


class DeliveryPage(msgspec.Struct, frozen=True):
    """Newest first. A page may hold less than was asked for, or nothing: `next_page_token` is empty at the end only."""

    result: list[DeliveryRow]
    next_page_token: str


@get("/v1.0/deliveries", tags=["deliveries"])
async def list_all(
    request: AnyRequest,
    status: str | None = None,
    type: str | None = None,  # noqa: A002 - the contract's name
    subject: str | None = None,
    event_id: str | None = None,
    page_size: int | None = None,
    page_token: str = "",
) -> DeliveryPage:
    """The deliveries: pending, held, succeeded, exhausted, cancelled.

    One request looks at 10,000 deliveries at most. If few of them match, its page is short or empty, and
    `next_page_token` goes on from there; it is empty only when there is nothing more.
    """
    customer_id = await customer_in(request, MANAGERS)
    wanted, before = read_status(status), read_key_token(page_token)
    services = services_of(request)
    found, place = await services.store.read_for_api(
        lambda connection: list_deliveries(
            connection,
            customer_id,
            status=wanted,
            event_type=type,
            subject=subject,
            event_id=event_id,
            before=before,
            page_size=page_size_of(page_size),
        )
    )
    return DeliveryPage(delivery_rows(found, services.delivering.behind), key_token(place))


@get("/v1.0/webhook_stats", tags=["deliveries"])
async def stats(request: AnyRequest, seconds: int = _DAY_S) -> WebhookStats:
    """How the webhook is doing, and did in the last `seconds` (a day, unless told otherwise; at most 35 days).

    They are rounded up to full minutes, beyond eight days to full hours.
    """
    customer_id = await customer_in(request, MANAGERS)
    if not 0 < seconds <= _LONGEST_S:
        raise InvalidError(
            f"seconds is a number from 1 to {_LONGEST_S}.", reason="INVALID_REQUEST_PARAMETER", field="seconds"
        )
    services = services_of(request)
    now_us = services.store.clock.now_us()
    numbers = await services.store.read_for_api(
        lambda connection: webhook_numbers(connection, customer_id, now_us=now_us, seconds=seconds)
    )
    webhook = numbers.destination
    standing = standing_of(webhook, services.delivering.health_of(webhook.key), numbers.last_created_us, now_us)
    return webhook_stats(numbers, standing, now_us)
