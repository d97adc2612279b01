"""How a destination stands: one word, since when, and why; and the sentence that says it."""

from __future__ import annotations

import msgspec
import pytest

from offhook.domain.delivery.counts import DAY_US
from offhook.domain.delivery.delivery import DELETED, FAILING, FROZEN, GONE, OFF, Destination
from offhook.domain.delivery.health import CLEAN, Failure, Health
from offhook.domain.delivery.standing import Standing, State, standing_of
from offhook.domain.delivery.standing_words import said_span, words_of_standing

SECOND = 1_000_000
NOW = 100 * DAY_US
NOT_FOUND = Failure("client_error", 404)
WEBHOOK = Destination(
    key=1,
    customer_id="c",
    activeflow_id="",
    uri="https://hooks.example.com/",
    uri_key=1,
    method="POST",
    held_reason="",
    failing_since_us=None,
    secrets=("whsec_x",),
    changed_us=NOW - 50 * DAY_US,
)


def but(**changes: object) -> Destination:
    return msgspec.structs.replace(WEBHOOK, **changes)


def stands(destination: Destination = WEBHOOK, health: Health | None = CLEAN, created_us: int | None = NOW) -> Standing:
    return standing_of(destination, health, created_us, NOW)


def test_without_a_uri_it_is_not_set_whatever_was_before() -> None:
    off = but(uri="", uri_key=None, held_reason=OFF)
    assert stands(off, Health(3, 5)) == Standing(State.NOT_SET, off.changed_us)


@pytest.mark.parametrize("reason", [GONE, FAILING, FROZEN])
def test_one_that_is_stopped_is_held_for_its_reason(reason: str) -> None:
    assert stands(but(held_reason=reason), Health(30, 5)) == Standing(State.HELD, WEBHOOK.changed_us, reason)


def test_it_fails_from_the_first_failed_attempt_on_until_one_succeeds() -> None:
    health = CLEAN.failed(NOW - SECOND, NOW - 9, NOT_FOUND)
    assert stands(health=health) == Standing(State.FAILING, NOW - 9, "client_error", NOT_FOUND)
    again = health.failed(NOW - 5, NOW - 4, Failure("refused"))
    assert stands(health=again) == Standing(State.FAILING, NOW - 9, "refused", Failure("refused"))
    assert stands(health=CLEAN).state is State.ANSWERING


def test_also_where_nothing_came_for_a_day() -> None:
    assert stands(health=CLEAN.failed(5, 6), created_us=5).state is State.FAILING


def test_after_ten_failures_it_is_probed_and_the_next_probe_is_told_unless_it_may_go_at_once() -> None:
    health = CLEAN
    for number in range(10):
        health = health.failed(NOW - 2, NOW - 10 + number, NOT_FOUND)
    probed = stands(health=health)
    assert (probed.state, probed.since_us, probed.reason) == (State.PROBING, NOW - 10, "client_error")
    assert probed.next_probe_us == NOW - 1 + SECOND
    assert standing_of(WEBHOOK, health, NOW, NOW + 2 * SECOND).next_probe_us is None


def test_whoever_knows_no_more_believes_the_row() -> None:
    row = but(failing_since_us=NOW - 9, failure=NOT_FOUND)
    assert stands(row, None) == Standing(State.FAILING, NOW - 9, "client_error", NOT_FOUND)
    # The row is written a moment later than the attempt ends.
    assert stands(row, CLEAN).state is State.ANSWERING


def test_without_an_event_for_a_day_it_is_idle_since_the_last_one() -> None:
    assert stands(created_us=NOW - DAY_US).state is State.ANSWERING
    assert stands(created_us=NOW - DAY_US - 1) == Standing(State.IDLE, NOW - DAY_US - 1)
    assert stands(created_us=None) == Standing(State.IDLE, WEBHOOK.changed_us)


def test_it_answers_since_its_last_failure_or_since_it_was_set() -> None:
    assert stands() == Standing(State.ANSWERING, WEBHOOK.changed_us)
    assert stands(but(answering_since_us=NOW - 7)) == Standing(State.ANSWERING, NOW - 7)


@pytest.mark.parametrize(
    ("standing", "span_s", "sentence"),
    [
        (Standing(State.NOT_SET, None), None, "No webhook is set."),
        (Standing(State.IDLE, 1), 2 * 86_400, "Nothing was to be sent for 2 days."),
        (Standing(State.IDLE, None), None, "Nothing was to be sent yet."),
        (Standing(State.ANSWERING, 1), 3 * 3_600 + 5, "Your webhook is answering, without a failure for 3 hours."),
        (Standing(State.ANSWERING, None), None, "Your webhook is answering."),
        (
            Standing(State.FAILING, 1, "client_error", NOT_FOUND),
            14 * 60 + 9,
            "Your webhook has failed for 14 minutes: your server answered 404: it refuses the request.",
        ),
        (
            Standing(State.PROBING, 1, "refused", Failure("refused", None, "nothing listens on 127.0.0.1:5001")),
            3_600 + 120,
            "Your webhook has failed for 1 hour 2 minutes, and is tried with one event at a time: "
            "nothing listens on 127.0.0.1:5001.",
        ),
        (Standing(State.FAILING, 1), 1, "Your webhook has failed for 1 second."),
        (
            Standing(State.HELD, 1, GONE),
            60,
            "Your webhook is held for 1 minute: it answered 410, so it was switched off.",
        ),
    ],
)
def test_the_state_is_said_in_a_sentence(standing: Standing, span_s: float | None, sentence: str) -> None:
    words = words_of_standing(standing.state, span_s, standing.reason, standing.failure)
    assert words.sentence == sentence


def test_where_something_can_be_done_it_is_said_what() -> None:
    for state in State:
        words = words_of_standing(state, 5, GONE if state is State.HELD else "", None)
        assert bool(words.advice) == (state is not State.ANSWERING), state
    for reason in (GONE, FAILING, FROZEN, DELETED):
        assert words_of_standing(State.HELD, 5, reason, None).advice


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3_599, "59 minutes"),
        (3_600, "1 hour"),
        (3_660, "1 hour 1 minute"),
        (86_400, "1 day"),
        (2 * 86_400 + 3 * 3_600 + 59, "2 days 3 hours"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert said_span(seconds) == said
