"""An answer of many megabytes, sent piece by piece, with everybody else's turn in between.

Litestar's own streaming imports its machinery in the middle of the first such answer, for a tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send


class StreamedJson(Response[None]):
    """A 200 whose body is `pieces`, each made when its turn comes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__(content=None)
        self._pieces = pieces

    def to_asgi_response(self, *_args: Any, **_options: Any) -> ASGIApp:  # type: ignore[override]
        """What sends it."""
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
