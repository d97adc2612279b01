"""The webhook after a change, and addresses that are refused before anybody connects."""

from __future__ import annotations

import pytest

from offhook.domain.customer import checked_uri, chosen_webhook, uri_warnings
from offhook.domain.errors import InvalidError
from offhook.domain.networks import NetworkPolicy

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
