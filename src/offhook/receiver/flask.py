"""A Flask route that only ever sees verified webhooks. Needs Flask 3.1 or newer; nothing else here imports it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Concatenate, ParamSpec

from flask import Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from offhook.receiver.errors import VerificationError
from offhook.receiver.event import Event
from offhook.receiver.verification import DEFAULT_TOLERANCE, Verifier

MAX_BODY_BYTES = 1024 * 1024
"""Four times the largest event Offhook accepts."""

_log = logging.getLogger(__name__)
_Rest = ParamSpec("_Rest")
_View = Callable[_Rest, ResponseReturnValue]


def verified_webhook(
    secrets: str | Iterable[str],
    *,
    tolerance: timedelta = DEFAULT_TOLERANCE,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Callable[[Callable[Concatenate[Event, _Rest], ResponseReturnValue]], _View[_Rest]]:
    """Decorates a view, which then gets the verified Event as its first argument.

        @app.post("/voipbin/webhook")
        @verified_webhook(os.environ["WEBHOOK_SECRET"])
        def webhook(event: Event): ...

    Any other request is answered 400 (413 when its body is too long), with the reason, and the view is not
    called. Raises MalformedSecretError at once, when decorating.
    """
    verifier = Verifier(secrets, tolerance=tolerance)

    def decorate(view: Callable[Concatenate[Event, _Rest], ResponseReturnValue]) -> _View[_Rest]:
        @functools.wraps(view)
        def verified(*args: _Rest.args, **kwargs: _Rest.kwargs) -> ResponseReturnValue:
            request.max_content_length = max_body_bytes
            try:
                event = verifier.verify(request.headers, request.get_data())
            except RequestEntityTooLarge:
                return _refusal("BODY_TOO_LARGE", f"at most {max_body_bytes} bytes", 413)
            except VerificationError as error:
                return _refusal(error.reason, error.message, 400)
            return view(event, *args, **kwargs)

        return verified

    return decorate


def _refusal(reason: str, message: str, status: int) -> tuple[Response, int]:
    _log.warning("webhook refused: %s (%s)", reason, message)
    return jsonify({"reason": reason, "message": message}), status
