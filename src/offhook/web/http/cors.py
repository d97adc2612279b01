"""What a page of any origin may read: the API, with a token of its own, and never with the cookie.

The headers are Litestar's. Its middleware would put them on every path alike, and stands behind the front, which
answers publishing itself; so the front adds them, where they belong.
"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.config.cors import CORSConfig

_BELOW = ("/v1.0/", "/auth/")
_PATHS = ("/openapi.json", "/v1.0", "/auth")
# Credentials stay forbidden: with "*" a browser then leaves the cookie out.
_CONFIG = CORSConfig(
    allow_origins=["*"],
    allow_methods=["GET", "POST", "PUT", "DELETE"],
    allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
    allow_credentials=False,
    max_age=86_400,
)


def allows_any_origin(path: str) -> bool:
    """Whether a page of any origin may read what is answered there."""
    return path.startswith(_BELOW) or path in _PATHS


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


ANSWER_HEADERS = _raw(_CONFIG.simple_headers)
"""What every answer carries there, as ASGI sends it."""
PREFLIGHT_HEADERS = [header for header in _raw(_CONFIG.preflight_headers) if header not in ANSWER_HEADERS]
"""What the answer to a preflight carries besides."""
