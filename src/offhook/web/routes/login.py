"""Logging in, and asking who one is."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from offhook.domain.errors import InvalidError
from offhook.domain.ids import NIL_UUID
from offhook.store.queries.agents import get_agent
from offhook.web.http.exchange import Exchange
from offhook.web.known_names import unknown_field
from offhook.web.request import AnyRequest, caller_in, exchange_of, services_of
from offhook.web.services import Services
from offhook.web.shapes.accounts import Agent, agent_shape, key_holder_shape

Connection = ASGIConnection[Any, Any, Any, Any]
_MAX_TEXT = 1_024
_MAX_BODY_BYTES = 128 * 1024


class LoginRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A username and its password, as somebody sent them: anything at all."""

    username: Any = None
    password: Any = None


class LoginAnswer(msgspec.Struct, frozen=True):
    """A token for seven days (a setting)."""

    username: str
    token: str


def within_rate(request: Connection, _handler: object) -> None:
    """A guard: it comes before the body, so that one that is too large is an attempt as well. Raises OverLimitError."""
    services: Services = request.app.state.services
    exchange: Exchange = request.scope["state"]["exchange"]
    services.auth_buckets.take(exchange.address(services.settings.trusted_proxies))


@post(
    "/auth/login",
    status_code=200,
    tags=["auth"],
    security=[{}],
    request_max_body_size=_MAX_BODY_BYTES,
    guards=[within_rate],
)
async def log_in(request: AnyRequest, body: bytes) -> Response[LoginAnswer]:
    """Log in. A wrong password, an unknown user and a malformed body are all a 400, and too many of them a 429."""
    services = services_of(request)
    authenticator = services.authenticator
    address = exchange_of(request).address(services.settings.trusted_proxies)
    try:
        username, password = read_log_in(body)
    except InvalidError:
        authenticator.malformed_log_in(address)
        raise
    token = await authenticator.log_in(username, password, address)
    cookie = Cookie(
        key="token",
        value=token,
        path="/",
        max_age=services.authenticator.token_lifetime_s,
        httponly=True,
        samesite="strict",
        secure=services.settings.secure_cookies or request.url.scheme == "https",
    )
    return Response(LoginAnswer(username, token), cookies=[cookie])


@get("/v1.0/me", tags=["auth"])
async def me(request: AnyRequest) -> Agent:
    """Who the credential belongs to. For an access key: an agent without a name, with the key's permission."""
    caller = await caller_in(request)
    if caller.agent_id == NIL_UUID:
        return key_holder_shape(caller.customer_id)
    found = await services_of(request).store.read_for_api(
        lambda connection: get_agent(connection, caller.customer_id, caller.agent_id)
    )
    return agent_shape(found)


def read_log_in(body: bytes) -> tuple[str, str]:
    """Username and password out of a request's body. Raises InvalidError naming what is malformed."""
    try:
        sent = msgspec.json.decode(body, type=LoginRequest)
    except msgspec.ValidationError as error:
        raise unknown_field(str(error), LoginRequest) or _malformed() from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _malformed() from None
    return _text("username", sent.username), _text("password", sent.password)


def _malformed() -> InvalidError:
    return InvalidError(
        'The body is not the JSON {"username": "…", "password": "…"}.', reason="INVALID_JSON_BODY", field="body"
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TEXT:
        raise InvalidError(f"{name} is a text of 1 to {_MAX_TEXT} characters.", field=name)
    return value
