"""The plain words of outcomes: what became of an attempt, and what to do about it, as a support person would say.

Pure, and the only place with these words: the command line, the log and everything else that tells people of attempts
asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from offhook.domain.delivery.outcome import Outcome


class Words(NamedTuple):
    """A sentence that says what happened, and one that says what to do."""

    sentence: str
    advice: str


def words_of(outcome: str, status_code: int | None, detail: str) -> Words:
    """The words for an attempt that ended with this outcome.

    `status_code` is None if no answer came; `detail` says more where the outcome alone does not, and may be empty. An
    outcome that this version does not know is named as it is.
    """
    if status_code is not None:
        meaning, advice = _ANSWERED.get(outcome, _UNKNOWN)
        if outcome in (Outcome.CLIENT_ERROR, Outcome.SERVER_ERROR):
            advice = _BY_STATUS.get(status_code, advice)
        return Words(f"Your server answered {status_code}{meaning}.", advice)
    if outcome not in _UNANSWERED:
        return Words(f"The attempt ended as {outcome}{': ' if detail else ''}{detail}.", _UNKNOWN.advice)
    (start, otherwise), advice = _UNANSWERED[outcome]
    return Words(_sentence(start + (detail or otherwise)), advice)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


_UNKNOWN = Words("", "See what your server's log says of that time.")

# What follows "Your server answered 404".
_ANSWERED: Mapping[str, Words] = {
    Outcome.SUCCEEDED: Words("", "Nothing is left to do."),
    Outcome.REDIRECT: Words(
        ", a redirect, and redirects are never followed",
        "Set webhook_uri to the address that it redirects to; often only https or a slash at the end is missing.",
    ),
    Outcome.CLIENT_ERROR: Words(
        ": it refuses the request",
        "See in the response, or in your program's log, what it does not accept.",
    ),
    Outcome.SERVER_ERROR: Words(": it failed while it handled the event", "See your program's log for that moment."),
    Outcome.THROTTLED: Words(
        ": it asks for a pause",
        "Let your server take more, or answer at once and do the work afterwards. It is tried again after the pause.",
    ),
    Outcome.GONE: Words(
        ": it wants no more events, so the webhook is switched off",
        "If that is a mistake, let it answer 2xx, then use the webhook again: offhook customer enable.",
    ),
    Outcome.MALFORMED: Words(
        ", which is no final status of HTTP", "Let your program answer with a status from 200 to 599."
    ),
}

_BY_STATUS: Mapping[int, str] = {
    401: "Let it take requests without a password at this address: each is signed, verify the signature instead.",
    403: "See whether a firewall or your framework's protection of forms (CSRF) refuses what comes from outside.",
    404: "Check the path of webhook_uri: your server has nothing there.",
    405: "Set webhook_method to a method that your program takes at this address, mostly POST.",
    413: "Raise the largest request that your server, or the proxy before it, accepts to 256 KiB.",
    502: "A proxy answers for your program: see whether your program runs behind it.",
    503: "Your server, or the proxy before it, is overloaded or being started: see whether your program runs.",
    504: "A proxy answers for your program, which was too slow: answer first, and do the work afterwards.",
}

# How a sentence begins, how it goes on without a detail, and the advice.
_UNANSWERED: Mapping[str, tuple[tuple[str, str], str]] = {
    Outcome.SUCCEEDED: (("", "your server took the event"), "Nothing is left to do."),
    Outcome.REDIRECT: (
        ("", "your server answered with a redirect, and redirects are never followed"),
        _ANSWERED[Outcome.REDIRECT].advice,
    ),
    Outcome.CLIENT_ERROR: (("", "your server refuses the request"), _ANSWERED[Outcome.CLIENT_ERROR].advice),
    Outcome.SERVER_ERROR: (("", "your server failed"), _ANSWERED[Outcome.SERVER_ERROR].advice),
    Outcome.THROTTLED: (("", "your server asks for a pause"), _ANSWERED[Outcome.THROTTLED].advice),
    Outcome.GONE: (("", "your server wants no more events"), _ANSWERED[Outcome.GONE].advice),
    Outcome.TIMEOUT_CONNECT: (
        ("your server could not be reached: ", "no connection in time"),
        "See whether a firewall drops what comes in, and whether the address and port of webhook_uri are right.",
    ),
    Outcome.TIMEOUT_TLS: (
        ("your server did not begin to encrypt: ", "no TLS handshake in time"),
        "See whether this port speaks https at all; a plain http port needs http:// in webhook_uri.",
    ),
    Outcome.TIMEOUT_RESPONSE: (
        ("your server took the request and did not answer: ", "no complete response head in time"),
        "Answer 200 first, and do the work afterwards.",
    ),
    Outcome.REFUSED: (
        ("", "nothing listens at your webhook's address"),
        "Start your program, or correct the address and port of webhook_uri.",
    ),
    Outcome.DNS: (
        ("", "the name of your server cannot be resolved"),
        "Check how the name is spelt, and whether this machine's name server knows it.",
    ),
    Outcome.TLS: (
        ("no secure connection came about: ", "TLS failed"),
        "See that your server's certificate is valid for this name, has not expired, and comes with its chain.",
    ),
    Outcome.RESET: (
        ("your server hung up: ", "the connection ended before the response head"),
        "See in its log whether your program crashed, was restarted, or turned the connection away.",
    ),
    Outcome.MALFORMED: (
        ("what your server answered cannot be understood: ", "not an HTTP response"),
        "See whether another program listens on this port, and whether it should be https:// in webhook_uri.",
    ),
    Outcome.BLOCKED: (
        ("nothing was sent, as that is not allowed: ", "the address is forbidden"),
        "Use a public address; who runs this server may allow others with delivery.allowed_networks.",
    ),
}
