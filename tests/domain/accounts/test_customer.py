"""The webhook after a change, addresses that are refused before anybody connects, which secrets sign."""

from __future__ import annotations

import pytest

from offhook.domain.accounts.customer import (
    Caller,
    WebhookSecrets,
    check_is_anothers,
    checked_profile,
    checked_uri,
    chosen_webhook,
    uri_warnings,
)
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.errors import InvalidError, NotAllowedError

POLICY = NetworkPolicy()
URI = "https://a.example/hook"


@pytest.mark.parametrize(
    ("present", "uri", "method", "expected"),
    [
        (("", ""), URI, None, (URI, "POST")),
        (("", ""), URI, "", (URI, "POST")),
        (("", ""), URI, "GET", (URI, "GET")),
        ((URI, "PUT"), "https://b.example/", None, ("https://b.example/", "PUT")),
        ((URI, "PUT"), None, "", (URI, "POST")),
        ((URI, "PUT"), None, "DELETE", (URI, "DELETE")),
        ((URI, "PUT"), "", None, ("", "")),
        ((URI, "PUT"), "", "", ("", "")),
    ],
)
def test_what_is_not_named_stays(
    present: tuple[str, str], uri: str | None, method: str | None, expected: tuple[str, str]
) -> None:
    assert chosen_webhook(present, uri, method, POLICY) == expected


@pytest.mark.parametrize(("uri", "method"), [(None, "GET"), (URI, "PATCH"), (URI, "post"), ("", "NO")])
def test_a_method_that_cannot_be_is_refused(uri: str | None, method: str) -> None:
    with pytest.raises(InvalidError) as caught:
        chosen_webhook(("", ""), uri, method, POLICY)
    assert (caught.value.reason, caught.value.field) == ("INVALID_WEBHOOK_METHOD", "webhook_method")


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:10.0.0.1]", "100.64.0.1"])
def test_a_literal_address_that_policy_forbids_is_refused(host: str) -> None:
    with pytest.raises(InvalidError) as caught:
        checked_uri(f"https://{host}/", POLICY)
    assert caught.value.reason == "INVALID_WEBHOOK_URI"


@pytest.mark.parametrize("uri", ["http://a.example/", "HTTP://a.example/"])
def test_plain_http_is_flagged(uri: str) -> None:
    assert uri_warnings(checked_uri(uri, POLICY))
    assert not uri_warnings(URI)


@pytest.mark.parametrize("host", ["127.0.0.1:5001", "localhost", "[::1]:80", "127.1"])
def test_plain_http_on_this_machine_is_not(host: str) -> None:
    assert not uri_warnings(f"http://{host}/")


NOW_US = 1_777_712_400_000_000
DAY_US = 24 * 3_600 * 1_000_000


def test_a_rotated_secret_signs_beside_the_new_one_for_a_day() -> None:
    secrets = WebhookSecrets("old").rotated("new", NOW_US)
    assert secrets.live_at(NOW_US) == ("new", "old")
    assert secrets.live_at(NOW_US + DAY_US - 1) == ("new", "old")
    assert secrets.live_at(NOW_US + DAY_US) == ("new",)


def test_secrets_that_are_rotated_in_a_row_all_go_on_signing_for_a_day_at_least() -> None:
    secrets = WebhookSecrets("0")
    for number in range(1, 4):
        secrets = secrets.rotated(str(number), NOW_US + number)
    assert secrets.live_at(NOW_US + 3 + DAY_US - 1) == ("3", "2", "1", "0")


def test_a_secret_whose_day_is_over_does_not_come_back_with_the_next_rotation() -> None:
    secrets = WebhookSecrets("old").rotated("new", NOW_US).rotated("newest", NOW_US + DAY_US)
    assert secrets.live_at(NOW_US + DAY_US) == ("newest", "new")


def test_so_many_old_secrets_at_most_sign() -> None:
    secrets = WebhookSecrets("0")
    for number in range(1, 9):
        secrets = secrets.rotated(str(number), NOW_US)
    assert secrets.live_at(NOW_US) == ("8", "7", "6", "5", "4", "3")


def test_of_a_profile_what_is_given_is_checked_and_nothing_else_is_taken() -> None:
    assert checked_profile({"name": "A", "detail": None, "email": "", "webhook_uri": "x"}) == {"name": "A", "email": ""}
    with pytest.raises(InvalidError) as refused:
        checked_profile({"name": "A", "address": "a\tb"})
    assert refused.value.field == "address"


def test_nobody_freezes_or_deletes_the_own_customer() -> None:
    caller = Caller("mine", "agent", 1)
    check_is_anothers(caller, "another")
    with pytest.raises(NotAllowedError):
        check_is_anothers(caller, "mine")
