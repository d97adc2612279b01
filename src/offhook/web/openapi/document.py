"""Completing the OpenAPI document with what Litestar does not know: credentials, errors, bodies read by ourselves."""

from __future__ import annotations

from typing import Any

from offhook.web.errors import REASONS, STATUSES
from offhook.web.known_names import takes_customer_id
from offhook.web.openapi.examples import EXAMPLES
from offhook.web.openapi.values import PARAMETERS, VALUES

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token from POST /auth/login, or an access key."},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
    "accesskey": {"type": "apiKey", "in": "query", "name": "accesskey"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "token"},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "reason", "message", "request_id", "details"],
            "properties": {
                "status": {"type": "string", "enum": sorted({status for _, status, _ in STATUSES})},
                "reason": {"type": "string", "enum": sorted(REASONS)},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
_STATUSES = {
    "400": "The request is malformed; `details` names the field.",
    "401": "No credential, or one that is unknown or expired.",
    "403": "The caller's role does not allow this.",
    "404": "No such thing, or another customer's.",
    "405": "The route does not take this method.",
    "409": "The state does not allow this.",
    "413": "The body is too large.",
    "429": "Too many requests; see Retry-After.",
    "503": "Not available right now; try again.",
}
_NEW_EVENT = {
    "type": "object",
    "required": ["type", "data"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "data": {"type": "object"},
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "subject": {"type": "string", "maxLength": 256},
    },
}
_CUSTOMER_ID = {
    "name": "customer_id",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "format": "uuid"},
    "description": "For an operator (ProjectSuperAdmin): whose things these are, instead of the own customer's.",
}
_LOGIN = {
    "type": "object",
    "required": ["username", "password"],
    "additionalProperties": False,
    "properties": {name: {"type": "string", "minLength": 1, "maxLength": 1024} for name in ("username", "password")},
}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with everything that Litestar could not know."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    schemas["NewEvent"] = _NEW_EVENT
    schemas["LoginRequest"] = _LOGIN
    document["components"]["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    document["paths"].setdefault("/v1.0/events", {})["post"] = _publish_operation()
    login = {"$ref": "#/components/schemas/LoginRequest"}
    document["paths"]["/auth/login"]["post"]["requestBody"] = _body(login)
    for schema, fields in VALUES.items():
        for field, values in fields.items():
            _allow_only(schemas[schema]["properties"][field], values)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (method, path) in EXAMPLES:
                operation["requestBody"]["content"]["application/json"]["example"] = EXAMPLES[method, path]
            _add_errors(operation)
            _complete_parameters(path, operation)
            _close_body(operation, schemas)
            # A handler's docstring says in its first sentence what Litestar would spell as its name.
            operation["summary"] = operation["description"].partition(". ")[0].partition("\n")[0].rstrip(".")
    return document


def _add_errors(operation: dict[str, Any]) -> None:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, description in _STATUSES.items():
        operation["responses"][status] = {"description": description, "content": content}


def _complete_parameters(path: str, operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if takes_customer_id(path):
        parameters.append(_CUSTOMER_ID)
    for parameter in parameters:
        if parameter["name"] in PARAMETERS.get(path, {}):
            _allow_only(parameter["schema"], PARAMETERS[path][parameter["name"]])


def _close_body(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Litestar says nothing of it that a field that a body does not have is refused, and that some need no body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for schema in (content.get("schema", {}), *content.get("schema", {}).get("oneOf", [])):
        name = schema.get("$ref", "").rpartition("/")[2]
        if name:
            schemas[name]["additionalProperties"] = False
        if schema.get("type") == "null":
            operation["requestBody"]["required"] = False


def _allow_only(schema: dict[str, Any], values: tuple[str, ...]) -> None:
    """Name the values of a text, which may also be null."""
    for choice in schema.get("oneOf", [schema]):
        if choice.get("type") == "string":
            choice["enum"] = list(values)


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _publish_operation() -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/NewEvent"}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": 1000}
    answer = {
        "type": "object",
        "required": ["ids"],
        "properties": {"ids": {"type": "array", "items": {"type": "string"}}},
    }
    return {
        "tags": ["events"],
        "summary": "Publish",
        "operationId": "PublishEvents",
        "description": "Publish one event, or 1 to 1,000 at once, whole or not at all. Answered once they are on disk.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                "description": "Makes the request safe to repeat for 24 hours.",
            }
        ],
        "requestBody": _body({"oneOf": [one, many]}),
        "responses": {
            "202": {"description": "Accepted, and on disk.", "content": {"application/json": {"schema": answer}}}
        },
    }
