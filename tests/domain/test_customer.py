"""The webhook after a change, addresses that are refused before anybody connects, and who may give which role."""

from __future__ import annotations

import pytest

from offhook.domain.customer import Caller, checked_permission, checked_uri, chosen_webhook, uri_warnings
from offhook.domain.errors import InvalidError, NotAllowedError
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


AGENT, ADMIN, MANAGER, OPERATOR = 16, 32, 64, 1


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (ADMIN, ADMIN, True),
        (ADMIN, MANAGER, True),
        (ADMIN, AGENT, True),
        (ADMIN, ADMIN | MANAGER | AGENT, True),
        (ADMIN, 0, True),
        (ADMIN, OPERATOR, False),
        (ADMIN, ADMIN | 128, False),
        (ADMIN, 65_535, False),
        (MANAGER, MANAGER, True),
        (MANAGER, ADMIN, False),
        (MANAGER, AGENT, False),
        (AGENT | 128, AGENT | 128, True),
        (AGENT, MANAGER, False),
        (OPERATOR, 65_535, True),
    ],
)
def test_a_role_is_given_by_who_has_it_and_an_admin_is_a_manager_and_an_agent_too(
    own: int, given: int, expected: bool
) -> None:
    caller = Caller("customer", "agent", own)
    if expected:
        assert checked_permission(caller, given) == given
        return
    with pytest.raises(NotAllowedError) as refused:
        checked_permission(caller, given)
    assert refused.value.field == "permission"


@pytest.mark.parametrize("permission", [-1, 65_536])
def test_what_is_no_permission_is_refused(permission: int) -> None:
    with pytest.raises(InvalidError):
        checked_permission(Caller("customer", "agent", OPERATOR), permission)
