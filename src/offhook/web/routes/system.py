"""Health, metrics and documentation. None of them needs a credential."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import MediaType, Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from offhook.domain.errors import InvalidError, UnavailableError
from offhook.web.openapi.page import HEADERS, docs_file
from offhook.web.request import AnyRequest, services_of


class Health(msgspec.Struct, frozen=True):
    """`status` is ok."""

    status: str


class Readyz(msgspec.Struct, frozen=True):
    """`status` is ok; `switch` is up, down or off."""

    status: str
    switch: str


@get(["/healthz", "/health"], tags=["system"], security=[{}])
async def healthz() -> Health:
    """The process runs."""
    return Health("ok")


@get("/readyz", tags=["system"], security=[{}])
async def readyz(request: AnyRequest, switch: str | None = None) -> Readyz:
    """What was pending is taken up and, unless it runs without one, the phone system has been connected.

    A phone system that is lost later is `down` in the answer, which stays 200, so that a load balancer does not take
    the API away; with `?switch`, which takes no value, it is a 503.
    """
    if switch:
        raise InvalidError(
            "switch takes no value: ask for /readyz?switch.", reason="INVALID_REQUEST_PARAMETER", field="switch"
        )
    readiness = services_of(request).readiness
    missing = list(readiness.missing())
    if switch is not None and readiness.switch() == "down" and not missing:
        missing = ["the phone system"]
    if missing:
        raise UnavailableError(f"Not ready. Missing: {', '.join(missing)}.", details=[{"missing": missing}])
    return Readyz("ok", readiness.switch())


@get("/ping", tags=["system"], security=[{}])
async def ping() -> dict[str, str]:
    """pong."""
    return {"message": "pong"}


@get("/metrics", media_type=MediaType.TEXT, tags=["system"], security=[{}])
async def metrics(request: AnyRequest) -> Response[bytes]:
    """Prometheus metrics."""
    return Response(generate_latest(services_of(request).registry), media_type=CONTENT_TYPE_LATEST)


@get("/openapi.json", include_in_schema=False, media_type=MediaType.JSON)
async def openapi(request: AnyRequest) -> Response[bytes]:
    """This API as OpenAPI 3.1."""
    document: dict[str, Any] = request.app.state.openapi
    return Response(msgspec.json.encode(document), media_type="application/json")


@get(["/docs", "/"], include_in_schema=False, media_type=MediaType.HTML)
async def docs() -> Response[bytes]:
    """This API as a page."""
    return _page_file("page.html", "text/html")


@get("/docs/style.css", include_in_schema=False)
async def docs_style() -> Response[bytes]:
    """The page's style."""
    return _page_file("style.css", "text/css")


@get("/docs/script.js", include_in_schema=False)
async def docs_script() -> Response[bytes]:
    """The page's script."""
    return _page_file("script.js", "text/javascript")


@get(["/favicon.ico", "/favicon.svg"], include_in_schema=False)
async def favicon() -> Response[bytes]:
    """The icon; browsers ask for it by the first name, and go by its type."""
    return _page_file("favicon.svg", "image/svg+xml")


def _page_file(name: str, media_type: str) -> Response[bytes]:
    return Response(docs_file(name), media_type=media_type, headers=HEADERS)
