"""Every outcome has a sentence for people, and an advice."""

from __future__ import annotations

import pytest

from offhook.domain.delivery.outcome import Outcome
from offhook.domain.delivery.outcome_words import words_of

# Contract, section 4.
OUTCOMES = (
    *("succeeded", "redirect", "client_error", "server_error", "throttled", "gone", "timeout_connect", "timeout_tls"),
    *("timeout_response", "refused", "dns", "tls", "reset", "malformed", "blocked"),
)
ANSWERED = {"succeeded": 200, "redirect": 302, "client_error": 404, "server_error": 500, "throttled": 429, "gone": 410}


def test_the_contract_names_every_outcome() -> None:
    assert set(OUTCOMES) == set(Outcome)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("detail", ["", "the reason"])
def test_every_outcome_has_a_sentence_and_an_advice(outcome: str, detail: str) -> None:
    answer = 101 if outcome == "malformed" else ANSWERED.get(outcome)
    for status in {None, answer}:
        sentence, advice = words_of(outcome, status, detail)
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert advice[0].isupper()
        assert advice.endswith(".")
        assert advice != words_of("a newer one", None, "").advice
        # The name of an outcome is for programs.
        assert "_" not in sentence
        if status is None and detail:
            assert detail in sentence.lower()
        elif status is not None:
            assert str(status) in sentence


def test_no_two_failures_without_an_answer_read_the_same() -> None:
    failures = [outcome for outcome in OUTCOMES if outcome not in ANSWERED]
    assert len({words_of(outcome, None, "") for outcome in failures}) == len(failures)


@pytest.mark.parametrize(
    ("outcome", "status", "detail", "sentence", "advice"),
    [
        ("refused", None, "nothing listens on 127.0.0.1:5001", "Nothing listens on 127.0.0.1:5001.", "Start your"),
        ("client_error", 404, "", "Your server answered 404: it refuses the request.", "Check the path"),
        ("client_error", 418, "", "Your server answered 418: it refuses the request.", "See in the response"),
        ("server_error", 503, "", "Your server answered 503: it failed while it handled the event.", "overloaded"),
        ("throttled", 503, "", "Your server answered 503: it asks for a pause.", "answer at once"),
        ("a newer one", None, "why", "The attempt ended as a newer one: why.", "log"),
    ],
)
def test_a_support_person_would_say_so(
    outcome: str, status: int | None, detail: str, sentence: str, advice: str
) -> None:
    words = words_of(outcome, status, detail)
    assert words.sentence == sentence
    assert advice in words.advice
