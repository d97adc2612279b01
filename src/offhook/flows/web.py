"""What flows send over HTTP, and what they make of the answer: `fetch` and `webhook_send`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from offhook.domain.catalogue.activeflow import Activeflow
from offhook.domain.catalogue.fields import Action
from offhook.domain.errors import InvalidError
from offhook.domain.step import Answered, Outcome, Refused
from offhook.flows.options import Fetch, WebhookSend
from offhook.flows.reading import MAX_BYTES, read_actions

MAX_FETCHED = 100
"""So many actions can be fetched at once."""

_JSON = "application/json"


class Sent(msgspec.Struct, frozen=True):
    """What of a request is the action's to say (`WebRequest`)."""

    method: str
    uri: str
    content_type: str
    body: str
    longest_answer: int = 0


class _Asked(msgspec.Struct, frozen=True):
    activeflow_id: str
    reference_id: str


def fault_of_sending(option: WebhookSend) -> str:
    """Why what an action would send, its variables filled in, cannot be sent; "" if it can."""
    if option.data:
        try:
            msgspec.json.decode(option.data)
        except (msgspec.DecodeError, RecursionError) as error:
            return f"data is not JSON once its variables are filled in: {error}."
    return ""


def sent_by(option: Fetch | WebhookSend, shown: Activeflow) -> Sent:
    """What an action sends."""
    if isinstance(option, WebhookSend):
        return Sent(option.method, option.uri, option.data_type or _JSON, option.data)
    asked = msgspec.json.encode(_Asked(shown.id, shown.reference_id)).decode()
    return Sent(option.event_method, option.event_url, _JSON, asked, longest_answer=MAX_BYTES)


def fault_of_answer(outcome: Outcome) -> str:
    """Why a request came to nothing, as a sentence; "" if it did not."""
    match outcome:
        case Answered(status_code=status_code):
            return "" if 200 <= status_code < 300 else f"The server answered {status_code}."
        case Refused(reason=reason):
            return reason
        case _:
            return "The request could not be made."


def fetched_actions(answer: Answered, new_id: Callable[[], str]) -> tuple[Action, ...]:
    """The actions that were answered. Raises InvalidError."""
    if not answer.is_whole:
        raise InvalidError(f"it has more than {MAX_BYTES} bytes.")
    try:
        given = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidError(f"it is not JSON ({error}).") from None
    return read_actions(given, max_count=MAX_FETCHED, new_id=new_id)
