"""Verified webhooks for ASGI: one function for an application of your own, one endpoint to route to."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import timedelta
from typing import Any

from offhook.receiver.errors import BodyTooLargeError, MalformedBodyError, VerificationError
from offhook.receiver.event import Event
from offhook.receiver.verification import DEFAULT_TOLERANCE, Verifier

MAX_BODY_BYTES = 1024 * 1024
"""Four times the largest event Offhook accepts."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)


async def receive_event(
    scope: Scope, receive: Receive, verifier: Verifier, *, max_body_bytes: int = MAX_BODY_BYTES
) -> Event:
    """The verified event of one HTTP request (ASGI 3, `http` scope).

    Keeps at most `max_body_bytes` in memory. Raises a VerificationError: BodyTooLargeError beyond that,
    MalformedBodyError when the client leaves in the middle, else as `verify`.
    """
    return verifier.verify(scope["headers"], await _whole_body(receive, max_body_bytes))


async def _whole_body(receive: Receive, max_body_bytes: int) -> bytes:
    chunks, length_bytes, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedBodyError("the client left before the body was complete")
        chunk = message.get("body", b"")
        length_bytes += len(chunk)
        if length_bytes > max_body_bytes:
            raise BodyTooLargeError(f"the body is longer than {max_body_bytes} bytes")
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


class WebhookEndpoint:
    """An ASGI application that awaits `on_event` for every verified event and then answers 200.

    Serve it alone or as a route of a framework: `Route("/voipbin/webhook", WebhookEndpoint(...))` in Starlette,
    `app.add_route("/voipbin/webhook", WebhookEndpoint(...))` in FastAPI. Do not mount it there: a mount
    redirects to the path with a slash at its end, and Offhook follows no redirect.

    A request that fails verification is answered 400 (413 when too long), with the reason. What `on_event`
    raises reaches the server, which answers 500, and Offhook sends the event again.
    """

    def __init__(
        self,
        on_event: Callable[[Event], Awaitable[None]],
        secrets: str | Iterable[str],
        *,
        tolerance: timedelta = DEFAULT_TOLERANCE,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._on_event = on_event
        self._verifier = Verifier(secrets, tolerance=tolerance)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection. Raises ValueError for a WebSocket; accepts the start and stop of a lifespan."""
        if scope["type"] == "lifespan":
            await _accept_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"a webhook comes by HTTP, not {scope['type']}")
        try:
            event = await receive_event(scope, receive, self._verifier, max_body_bytes=self._max_body_bytes)
        except VerificationError as error:
            _log.warning("webhook refused: %s (%s)", error.reason, error.message)
            status = 413 if isinstance(error, BodyTooLargeError) else 400
            await _answer(send, status, {"reason": error.reason, "message": error.message})
            return
        await self._on_event(event)
        await _answer(send, 200, {"status": "received"})


async def _answer(send: Send, status: int, content: dict[str, str]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _accept_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
