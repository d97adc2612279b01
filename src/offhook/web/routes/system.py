"""Health, metrics and documentation. None of them needs a credential."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import MediaType, Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from offhook.domain.errors import UnavailableError
from offhook.web.asking import AnyRequest, services_of
from offhook.web.docs_page import DOCS_PAGE


class Health(msgspec.Struct, frozen=True):
    """`status` is ok."""

    status: str


@get(["/healthz", "/health"], tags=["system"], security=[{}])
async def healthz() -> Health:
    """The process runs."""
    return Health("ok")


@get("/readyz", tags=["system"], security=[{}])
async def readyz(request: AnyRequest) -> Health:
    """What was pending is taken up and, unless it runs without one, the phone system is connected."""
    missing = services_of(request).readiness()
    if missing:
        raise UnavailableError(f"Not ready: {missing}.")
    return Health("ok")


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
async def docs() -> Response[str]:
    """This API as a page."""
    return Response(DOCS_PAGE, media_type="text/html")
