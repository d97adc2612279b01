"""The names that a request may use: the fields of a route's body and its query parameters. Any other one is refused.

A field that is ignored is a wish that is silently not granted. What VoIPBIN's clients are known to send (facts,
section 7) is declared where it is read, also where nothing is done with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
from litestar.handlers import HTTPRouteHandler

from offhook.domain.errors import InvalidError
from offhook.domain.nearest import unknown_name
from offhook.web.request import AnyRequest, exchange_of

_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_CREDENTIALS = ("token", "accesskey")
_CUSTOMER = "customer_id"
# Not out of the query.
_GIVEN_BY_US = ("request", "data", "body")
# Elsewhere are pages, and what machines ask that add parameters of their own.
_STRICT = ("/v1.0/", "/auth/", "/readyz")
_FOR_ONESELF = ("/v1.0/me", "/v1.0/customers")
_PUBLISHING = (*_CREDENTIALS, _CUSTOMER)


def takes_customer_id(path: str) -> bool:
    """Whether an operator may say `?customer_id=` on this path."""
    return path.startswith("/v1.0/") and not any(path == own or path.startswith(f"{own}/") for own in _FOR_ONESELF)


async def check_parameters(request: AnyRequest) -> None:
    """Raises InvalidError for a query parameter that the route does not have."""
    path = request.scope["path"]
    if request.scope["query_string"] and path.startswith(_STRICT):
        _check(exchange_of(request).query, _parameters_of(request.route_handler, path))


def check_publish_parameters(given: Iterable[str]) -> None:
    """The same for the route that publishes."""
    _check(given, _PUBLISHING)


def unknown_field(message: str, annotation: Any) -> InvalidError | None:
    """The refusal of a body's field that does not exist, if that is what msgspec's `message` says."""
    found = _UNKNOWN.search(message)
    return None if found is None else unknown_name("field", found[1], _fields_of(annotation))


def _fields_of(annotation: Any) -> tuple[str, ...]:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return kind.__struct_encode_fields__
    return ()


def _parameters_of(handler: HTTPRouteHandler, path: str) -> tuple[str, ...]:
    in_path = {name for template in handler.paths for name in re.findall(r"{(\w+):", template)}
    own = [name for name in handler.parsed_fn_signature.parameters if name not in (*_GIVEN_BY_US, *in_path)]
    return (*own, *_CREDENTIALS, *([_CUSTOMER] if takes_customer_id(path) else []))


def _check(given: Iterable[str], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise unknown_name("query parameter", name, known, reason="INVALID_REQUEST_PARAMETER")
