"""Logging in, and asking who one is."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie

from offhook.domain.customer import Agent, Permission
from offhook.domain.ids import NIL_UUID
from offhook.store.agents import get_agent
from offhook.web.asking import AnyRequest, caller_in, exchange_of, services_of

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]


class LoginRequest(msgspec.Struct, frozen=True):
    """A username and its password."""

    username: Text
    password: Text


class LoginAnswer(msgspec.Struct, frozen=True):
    """A token for seven days (a setting)."""

    username: str
    token: str


@post("/auth/login", status_code=200, tags=["auth"], security=[{}])
async def log_in(request: AnyRequest, data: LoginRequest) -> Response[LoginAnswer]:
    """Log in. A wrong password, an unknown user and a malformed body are all a 400."""
    services = services_of(request)
    services.auth_buckets.take(exchange_of(request).address(services.settings.trusted_proxies))
    services.username_buckets.take(data.username)
    token = await services.authenticator.log_in(data.username, data.password)
    cookie = Cookie(
        key="token",
        value=token,
        path="/",
        max_age=services.authenticator.token_lifetime_s,
        httponly=True,
        samesite="strict",
        secure=services.settings.secure_cookies or request.url.scheme == "https",
    )
    return Response(LoginAnswer(data.username, token), cookies=[cookie])


@get("/v1.0/me", tags=["auth"])
async def me(request: AnyRequest) -> Agent:
    """Who the credential belongs to. For an access key: an agent without a name, with the key's permission."""
    caller = await caller_in(request)
    if caller.agent_id != NIL_UUID:
        return await services_of(request).store.read_for_api(
            lambda connection: get_agent(connection, caller.customer_id, caller.agent_id)
        )
    return Agent(
        id=NIL_UUID,
        customer_id=caller.customer_id,
        username="",
        name="access key",
        detail="",
        ring_method="ringall",
        status="",
        permission=int(Permission.CUSTOMER_ADMIN),
        tag_ids=[],
        addresses=[],
        tm_create=None,
        tm_update=None,
        tm_delete=None,
    )
