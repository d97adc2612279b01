"""The sentence that says how a destination stands, as a support person would say it."""

from __future__ import annotations

from typing import assert_never

from offhook.domain.delivery.delivery import DELETED, FAILING, FROZEN, GONE
from offhook.domain.delivery.health import Failure
from offhook.domain.delivery.outcome_words import Words, words_of
from offhook.domain.delivery.standing import State

_HELD = {
    GONE: Words("it answered 410, so it was switched off", "When it takes events again: offhook customer enable."),
    FAILING: Words(
        "it did not succeed once in five days, so it was switched off",
        "When it takes events again: offhook customer enable.",
    ),
    FROZEN: Words("the account is frozen", "Ask who runs this server."),
    DELETED: Words("the account is deleted", "Ask who runs this server."),
}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def words_of_standing(state: State, span_s: float | None, reason: str, failure: Failure | None) -> Words:
    """A sentence on the state, which has lasted for `span_s` (None: not known), and what to do about it, if anything.

    `reason` and `failure` are those of the `Standing`.
    """
    span = "" if span_s is None else f" for {said_span(span_s)}"
    match state:
        case State.NOT_SET:
            return Words("No webhook is set.", "Say where events go: offhook customer set --webhook-uri URL.")
        case State.IDLE:
            return Words(f"Nothing was to be sent{span or ' yet'}.", "Send a sample: offhook customer test.")
        case State.ANSWERING:
            return Words(f"Your webhook is answering{span and f', without a failure{span}'}.", "")
        case State.FAILING:
            return _failing(f"Your webhook has failed{span}", failure)
        case State.PROBING:
            return _failing(f"Your webhook has failed{span}, and is tried with one event at a time", failure)
        case State.HELD:
            words = _HELD.get(reason, Words(reason, ""))
            return Words(f"Your webhook is held{span}: {words.sentence}.", words.advice)
        case _:
            assert_never(state)


def said_span(seconds: float) -> str:
    """A time as people say it: `8 seconds`, `14 minutes`, `3 hours 5 minutes`, `2 days`."""
    left = max(0, int(seconds))
    counted = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        counted.append((count, unit))
    while len(counted) > 1 and not counted[0][0]:
        counted.pop(0)
    # Beside hours minutes matter, beside minutes seconds do not.
    shown = counted[:2] if counted[0][1] in ("day", "hour") else counted[:1]
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in shown if count or unit == "second")


def _failing(start: str, failure: Failure | None) -> Words:
    if failure is None:
        return Words(f"{start}.", "See offhook deliveries list.")
    words = words_of(failure.outcome, failure.status_code, failure.detail)
    return Words(f"{start}: {words.sentence[:1].lower()}{words.sentence[1:]}", words.advice)
