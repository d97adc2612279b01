"""`POST /v1.0/events`, the hot path: straight on ASGI, as a typed route costs twice the CPU of all its work."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from typing import Any

import msgspec

from offhook.domain.accounts.customer import MANAGERS
from offhook.domain.errors import InvalidError
from offhook.domain.events.publication import Publication, parse_large, parse_publications
from offhook.web.callers import acting_for, caller_of
from offhook.web.http.exchange import Exchange, read_body
from offhook.web.known_names import check_publish_parameters
from offhook.web.services import Services

# Read in a moment. Beyond that, others get their turn in between.
_SMALL_BYTES = 64 * 1024
_HASHED_BYTES = 512 * 1024
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


class PublishAnswer(msgspec.Struct, frozen=True):
    """The events' ids, in the order of the request. They are on disk."""

    ids: list[str]


async def handle_publish(services: Services, exchange: Exchange, receive: Any) -> bytes:
    """The body of the 202. Raises what is in the table of errors; nothing is kept then."""
    if exchange.scope.get("query_string"):
        check_publish_parameters(exchange.query)
    caller = await caller_of(exchange, services)
    customer_id = await acting_for(exchange, caller, services.store, MANAGERS)
    exchange.scope["state"]["customer_id"] = customer_id
    body = await read_body(exchange.scope, receive, services.settings.max_request_bytes)
    key = _idempotency_key(exchange)
    publications = await _parse(services, body)
    services.publish_buckets.take(customer_id, len(publications))
    digest = await services.time_slices.run(_digest(body)) if key else b""
    ids = await services.log.publish(customer_id, publications, key, digest)
    return msgspec.json.encode(PublishAnswer(ids))


async def _parse(services: Services, body: bytes | bytearray) -> list[Publication]:
    limits = services.settings.publish
    if isinstance(body, bytes) and len(body) <= _SMALL_BYTES:
        return parse_publications(body, limits)
    return await services.time_slices.run(parse_large(body, limits))


def _digest(body: bytes | bytearray) -> Generator[None, None, bytes]:
    digest = hashlib.sha256()
    with memoryview(body) as view:
        for at in range(0, len(body), _HASHED_BYTES):
            digest.update(view[at : at + _HASHED_BYTES])
            yield
    return digest.digest()


def _idempotency_key(exchange: Exchange) -> str:
    given = exchange.headers.get(b"idempotency-key")
    if given is None:
        return ""
    if not _KEY.fullmatch(given):
        raise InvalidError("Idempotency-Key has 1 to 255 visible ASCII characters.", field="Idempotency-Key")
    return given.decode("ascii")
