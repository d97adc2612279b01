"""Was this request signed by Offhook, just now, with a secret we know? (Standard Webhooks 1.0, symmetric `v1`.)"""

from __future__ import annotations

import hmac
import json
import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from offhook.receiver import headers as read
from offhook.receiver.errors import (
    BadSignatureError,
    MalformedBodyError,
    MalformedSecretError,
    TimestampTooNewError,
    TimestampTooOldError,
)
from offhook.receiver.event import Event
from offhook.receiver.headers import Headers
from offhook.receiver.standard_webhooks import PreparedHmac, signed_content, signing_key, standard_signature

DEFAULT_TOLERANCE = timedelta(minutes=5)
"""How far the sender's clock and ours may differ, as in the public libraries."""

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def verify(
    headers: Headers,
    body: bytes,
    secrets: str | Iterable[str],
    *,
    tolerance: timedelta = DEFAULT_TOLERANCE,
    now: datetime | None = None,
) -> Event:
    """The event in a webhook, once its signature has been checked.

    `headers` is a mapping or pairs of names and values, text or bytes, in any case. `body` is the request
    body exactly as it came: parsing it and writing it anew changes it. `secrets` is one secret or, while one
    is being replaced, several; one that fits is enough. `now` is for tests. Raises a VerificationError whose
    class says what is wrong.
    """
    return Verifier(secrets, tolerance=tolerance).verify(headers, body, now=now)


class Verifier:
    """`verify` with secrets read once; immutable, so one may serve all threads.

    Raises MalformedSecretError when a secret is none, or when there is no secret at all.
    """

    __slots__ = ("_macs", "_tolerance")

    def __init__(self, secrets: str | Iterable[str], *, tolerance: timedelta = DEFAULT_TOLERANCE) -> None:
        texts = [secrets] if isinstance(secrets, (str, bytes)) or secrets is None else list(secrets)
        if not texts:
            raise MalformedSecretError("give at least one webhook secret", field="webhook_secret")
        if not all(isinstance(text, str) for text in texts):
            raise MalformedSecretError("a webhook secret must be text (str)", field="webhook_secret")
        try:
            self._macs = tuple(PreparedHmac(signing_key(text)) for text in texts)
        except ValueError as error:
            raise MalformedSecretError(str(error), field="webhook_secret") from None
        self._tolerance = tolerance

    def verify(self, headers: Headers, body: bytes, *, now: datetime | None = None) -> Event:
        """As the function `verify`. Raises TypeError when `body` is not bytes."""
        if not isinstance(body, bytes):
            raise TypeError("verify needs the raw body as bytes, before any parsing")
        found = read.wanted_headers(headers)
        event_id, seconds = read.event_id(found), read.unix_seconds(found)
        candidates = read.v1_signatures(found)
        timestamp = self._fresh(seconds, now or datetime.now(timezone.utc))
        if not self._fits(candidates, signed_content(event_id, seconds, body)):
            raise BadSignatureError("no signature fits: another secret, or a body that was changed")
        event_type, data = _decoded(body)
        return Event(
            id=event_id,
            type=event_type,
            data=data,
            timestamp=timestamp,
            attempt=read.optional_number(found, read.ATTEMPT),
            subject=read.optional_text(found, read.SUBJECT),
            sequence=read.optional_number(found, read.SEQUENCE),
            position=read.optional_number(found, read.POSITION),
        )

    def _fresh(self, seconds: int, now: datetime) -> datetime:
        signed_at = datetime.fromtimestamp(seconds, timezone.utc)
        if now - signed_at > self._tolerance:
            raise TimestampTooOldError(f"signed more than {self._tolerance} ago", field=read.TIMESTAMP)
        if signed_at - now > self._tolerance:
            raise TimestampTooNewError(f"signed more than {self._tolerance} ahead", field=read.TIMESTAMP)
        return signed_at

    def _fits(self, candidates: list[bytes], content: bytes) -> bool:
        fits = False
        for mac in self._macs:
            expected = standard_signature(mac, content).encode("ascii")
            for candidate in candidates:
                # Every pair is compared, so the time taken tells nothing about which one fitted.
                fits |= hmac.compare_digest(expected, candidate)
        return fits

    def __repr__(self) -> str:
        return f"Verifier({len(self._macs)} secrets, tolerance={self._tolerance})"


def _decoded(body: bytes) -> tuple[str, dict[str, Any]]:
    try:
        envelope = json.loads(body.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        if _SURROGATE_ESCAPE.search(body) is not None:
            # Half of a pair is no text: it cannot be written anywhere (RFC 8259, section 8.2).
            json.dumps(envelope, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        envelope = None
    match envelope:
        case {"type": str(event_type), "data": dict(data)}:
            return event_type, data
        case _:
            raise MalformedBodyError('the body must be {"type": text, "data": object}')


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON (RFC 8259, section 6)")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is greater than a double can hold")
    return number
