"""The ASGI application: a front for what is common to every request, Litestar behind it.

The front gives a request its id, limits and logs it, answers CORS preflights, and hands the publish route to
`web.publish`. Credentials never reach the log: it is given the path, never the query.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import structlog
from litestar import Litestar, Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.openapi.config import OpenAPIConfig
from litestar.types import ASGIApp, Receive, Scope, Send

from offhook import __version__
from offhook.domain.errors import InvalidError, NotFoundError, OffhookError, TooLargeError, UnavailableError
from offhook.web.errors import Refusal, refusal_of
from offhook.web.http import cors
from offhook.web.http.exchange import Exchange
from offhook.web.known_names import check_parameters, unknown_field
from offhook.web.openapi.document import complete
from offhook.web.publish import handle_publish
from offhook.web.routes import (
    access_keys,
    activeflows,
    agents,
    calls,
    customer,
    customers,
    deliveries,
    events,
    flows,
    login,
    numbers,
    system,
)
from offhook.web.services import Services

log = structlog.get_logger()

_PUBLISH = "/v1.0/events"
_MAX_BODY_BYTES = 128 * 1024
_MAX_QUERY_BYTES = 16 * 1024
_MISSING = re.compile(r"missing required field `(\w+)`")
_QUERY_FIELDS = ("page_size", "page_token", "seconds", "status", "subject", "after")


def create_app(services: Services) -> ASGIApp:
    """The application on these services."""
    routes = _routes()
    litestar = Litestar(
        route_handlers=routes,
        before_request=check_parameters,
        exception_handlers={Exception: _on_exception, HTTPException: _on_exception},
        openapi_config=OpenAPIConfig(
            title="Offhook",
            version=__version__,
            path="/openapi",
            enabled_endpoints=set(),
            use_handler_docstrings=True,
        ),
        # Bodies are read before anybody is authenticated here, at once and value by value, and none but the publish
        # route needs a large one.
        request_max_body_size=min(services.settings.max_request_bytes, _MAX_BODY_BYTES),
        debug=False,
        pdb_on_exception=False,
        logging_config=None,
    )
    litestar.state.services = services
    litestar.state.openapi = complete(litestar.openapi_schema.to_schema())
    return Front(services, litestar)


class Front:
    """What every request passes."""

    def __init__(self, services: Services, inner: ASGIApp) -> None:
        self._services = services
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._inner(scope, receive, send)
            return
        exchange = Exchange(scope)
        scope.setdefault("state", {})["exchange"] = exchange
        answer = _Answer(send, exchange.request_id, allows_any_origin=cors.allows_any_origin(scope["path"]))
        started = time.perf_counter()
        try:
            await self._answer(scope, exchange, receive, answer)
        except asyncio.CancelledError:
            # By the server, which stops and has given it its time. Uvicorn would write a traceback.
            if not answer.status:
                await answer.refuse(refusal_of(_cut_short(), exchange.request_id))
        except Exception as error:
            if answer.status:
                raise
            await answer.refuse(refusal_of(error, exchange.request_id))
        finally:
            _log(scope, exchange, answer.status, started)

    async def _answer(self, scope: Any, exchange: Exchange, receive: Receive, answer: _Answer) -> None:
        if scope["method"] == "OPTIONS":
            preflight = cors.PREFLIGHT_HEADERS if answer.allows_any_origin else []
            await answer.send_whole(204, b"", preflight)
            return
        path = scope["path"]
        _check_target(exchange)
        if scope["method"] == "HEAD":
            # RFC 9110, section 9.3.2: as GET. The server leaves the body out, by the scope that it made.
            scope = {**scope, "method": "GET"}
        is_publishing = path in (_PUBLISH, f"{_PUBLISH}/") and scope["method"] == "POST"
        if not is_publishing and path.startswith("/v1.0"):
            self._services.address_buckets.take(exchange.address(self._services.settings.trusted_proxies))
        if is_publishing:
            # Publishing has no limit per address; guessing credentials by it has.
            body = await handle_publish(self._services, exchange, receive)
            await answer.send_whole(202, body, [(b"content-type", b"application/json")])
        else:
            await self._inner(scope, receive, answer)


def _check_target(exchange: Exchange) -> None:
    """A query of a size that is read in a moment; and no NUL: PostgreSQL refuses the very question."""
    if len(exchange.scope.get("query_string", b"")) > _MAX_QUERY_BYTES:
        raise InvalidError(
            f"The query is longer than {_MAX_QUERY_BYTES} bytes.", reason="INVALID_REQUEST_PARAMETER", field="query"
        )
    if "\0" in exchange.scope["path"]:
        raise InvalidError("The path contains a NUL.", reason="INVALID_ID", field="id")
    if b"%00" in exchange.scope.get("query_string", b""):
        for name, values in exchange.query.items():
            if any("\0" in value for value in values):
                raise InvalidError(
                    f"{name} contains a NUL.", reason="INVALID_REQUEST_PARAMETER", field=name.replace("\0", "")
                )


class _Answer:
    """ASGI's `send`, which adds the headers that every answer carries and notes the status."""

    def __init__(self, send: Send, request_id: str, *, allows_any_origin: bool) -> None:
        self._send = send
        self._headers = [(b"x-request-id", request_id.encode())]
        if allows_any_origin:
            self._headers += cors.ANSWER_HEADERS
        self.allows_any_origin = allows_any_origin
        self.status = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", []), *self._headers]}
        await self._send(message)

    async def send_whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        length = [(b"content-length", str(len(body)).encode())]
        await self({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(self, refusal: Refusal) -> None:
        headers = [(b"content-type", b"application/json")]
        headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
        await self.send_whole(refusal.status_code, refusal.body, headers)


def _log(scope: Any, exchange: Exchange, status: int, started: float) -> None:
    path = scope["path"]
    if status < 400 and path in (_PUBLISH, "/healthz", "/readyz", "/metrics"):
        return
    log.info(
        "web.request",
        method=scope["method"],
        path=path[:200],
        status=status,
        duration_ms=round((time.perf_counter() - started) * 1000, 1),
        request_id=exchange.request_id,
        customer_id=scope["state"].get("customer_id", ""),
    )


def _cut_short() -> UnavailableError:
    return UnavailableError(
        "The server is stopping. This may still be done; look before you repeat it.", reason="OUTCOME_UNKNOWN"
    )


def _on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    exchange: Exchange = request.scope["state"]["exchange"]
    refusal = refusal_of(_as_ours(error, request), exchange.request_id)
    headers: Mapping[str, str] = refusal.headers
    if isinstance(error, MethodNotAllowedException):
        headers = {**headers, **_allowed(error, request)}
    return Response(refusal.body, status_code=refusal.status_code, headers=dict(headers), media_type="application/json")


def _allowed(error: MethodNotAllowedException, request: Request[Any, Any, Any]) -> dict[str, str]:
    """RFC 9110, section 15.5.6: a 405 says what is allowed."""
    allowed = (error.headers or {}).get("allow", "")
    if request.scope["path"].rstrip("/") == _PUBLISH:
        allowed += ", POST"
    return {"Allow": allowed}


def _as_ours(error: Exception, request: Request[Any, Any, Any]) -> Exception:
    """Litestar's own errors in our words."""
    match error:
        case OffhookError():
            return error
        case ValidationException():
            return _invalid(error, request)
        case MethodNotAllowedException():
            return NotFoundError(
                f"{request.method} is not a method of this route.", reason="METHOD_NOT_ALLOWED", field="method"
            )
        case NotFoundException():
            return NotFoundError(
                "There is no such route. GET /docs lists them.", reason="ROUTE_NOT_FOUND", field="path"
            )
        case HTTPException(status_code=413):
            return TooLargeError("The body is too large.", field="body")
        case HTTPException(status_code=500, detail="client disconnected prematurely"):
            # Nobody hears it, and it is no fault of ours.
            return InvalidError("The connection was closed before the body was complete.", field="body")
        case RecursionError() | UnicodeDecodeError():
            # What decoding a body may raise beside its own errors.
            return InvalidError(
                "The body is nested too deeply, or not UTF-8.", reason="INVALID_JSON_BODY", field="body"
            )
        case ClientException():
            return InvalidError(
                f"The body is not the JSON that this route takes: {error.detail}"[:300],
                reason="INVALID_JSON_BODY",
                field="body",
            )
        case _:
            return error


def _invalid(error: ValidationException, request: Request[Any, Any, Any]) -> InvalidError:
    faults = error.extra if isinstance(error.extra, list) else []
    fault = faults[0] if faults and isinstance(faults[0], dict) else {}
    source = getattr(fault.get("source"), "value", fault.get("source"))
    message = str(fault.get("message") or error.detail)
    body = request.route_handler.parsed_data_field
    unknown = body and unknown_field(message, body.annotation)
    if unknown:
        return unknown
    missing = _MISSING.search(message)
    field = missing[1] if missing else str(fault.get("key") or "body")
    # What comes out of the query has no place in a body: Litestar names the source only of some.
    in_query = source == "query" or (source is None and field in _QUERY_FIELDS)
    return InvalidError(
        f"{field}: {message}"[:300],
        reason="INVALID_REQUEST_PARAMETER" if in_query else "INVALID_ARGUMENT",
        field="body" if field == "data" else field,
    )


def _routes() -> list[Any]:
    return [
        login.log_in,
        login.me,
        *(access_keys.list_keys, access_keys.create_key, access_keys.show_key),
        *(access_keys.change_key, access_keys.delete_key),
        *(agents.list_all, agents.create, agents.show, agents.change, agents.change_password, agents.remove),
        *(customer.show, customer.change, customer.rotate_secret, customer.send_test, customer.enable),
        *(customers.list_all, customers.create, customers.show, customers.change),
        *(customers.freeze, customers.recover, customers.remove),
        *(events.event_types, events.list_all, events.show, events.attempts),
        *(events.send_again, events.replay_many, events.erase),
        *(deliveries.list_all, deliveries.stats),
        *(calls.list_all, calls.show, calls.hang_up, calls.remove, calls.hold, calls.unhold),
        *(calls.start_music, calls.stop_music, calls.start_silence, calls.stop_silence, calls.mute, calls.unmute),
        *(flows.list_all, flows.create, flows.show, flows.change, flows.remove),
        *(numbers.list_all, numbers.create, numbers.show, numbers.change, numbers.change_flows, numbers.remove),
        *(activeflows.list_all, activeflows.create, activeflows.show, activeflows.stop, activeflows.remove),
        *(system.healthz, system.readyz, system.ping, system.metrics, system.openapi, system.docs),
        *(system.docs_style, system.docs_script, system.favicon),
    ]
