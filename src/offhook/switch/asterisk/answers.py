"""What an answer of Asterisk's to a command means: pure.

A 404 is the absence of a thing only if it names one: Asterisk says "Resource not found" while the module that knows
such things is not loaded, and "Application not found" while it has never had an event stream of ours. Both pass.
"""

from __future__ import annotations

from http import HTTPStatus

from offhook.domain.step import Absent, Done, Outcome, Refused, Thing
from offhook.switch.asterisk.ari import AriAnswer, SwitchUnavailableError

_PASSING_ABSENCE = ("Resource not found", "Application not found", "")


def outcome_of(answer: AriAnswer, thing: Thing) -> Outcome:
    """How a request about `thing` ended. Raises SwitchUnavailableError if it may end otherwise the next time."""
    if answer.is_ok:
        return Done()
    if answer.status == HTTPStatus.NOT_FOUND and answer.reason not in _PASSING_ABSENCE:
        return Absent(thing)
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED) or answer.status >= 500:
        raise SwitchUnavailableError(_words(answer))
    return refused(answer)


def refused(answer: AriAnswer) -> Refused:
    """That it will not do it, in its words."""
    return Refused(_words(answer))


def _words(answer: AriAnswer) -> str:
    return answer.reason or f"Asterisk answered {answer.status}."
