"""Who may give which role, and change or delete whom; what an agent may be made of."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from offhook.domain.accounts.agent import (
    check_is_another,
    checked_addresses,
    checked_permission,
    checked_ring_method,
    checked_tags,
    checked_username,
    needed_for_password,
)
from offhook.domain.accounts.customer import Caller
from offhook.domain.catalogue.fields import Address
from offhook.domain.errors import InvalidError, NotAllowedError
from offhook.domain.ids import new_uuid

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


def test_everybody_may_change_their_own_password_and_an_admin_that_of_others() -> None:
    for own in (AGENT, MANAGER, ADMIN):
        caller = Caller("customer", "me", own)
        assert caller.may(needed_for_password(caller, "me"))
        assert caller.may(needed_for_password(caller, "another")) == (own == ADMIN)


def test_nobody_deletes_themselves() -> None:
    caller = Caller("customer", "me", ADMIN)
    check_is_another(caller, "another")
    with pytest.raises(NotAllowedError):
        check_is_another(caller, "me")


def test_an_agent_has_a_name_a_known_way_to_ring_and_tags_that_are_ids() -> None:
    tags = [new_uuid() for _ in range(100)]
    assert (checked_username("a"), checked_ring_method("linear"), checked_tags(tags)) == ("a", "linear", tags)
    for check, field in (
        (partial(checked_username, " "), "username"),
        (partial(checked_username, "a\x01"), "username"),
        (partial(checked_ring_method, "random"), "ring_method"),
        (partial(checked_tags, ["x"]), "tag_ids"),
        (partial(checked_tags, [*tags, new_uuid()]), "tag_ids"),
    ):
        with pytest.raises(InvalidError) as refused:
            check()
        assert refused.value.field == field


def test_an_address_is_completed_and_what_is_unknown_is_dropped() -> None:
    assert checked_addresses([{}, {"type": "tel", "target": "+1", "more": 1}]) == [
        Address(),
        Address(type="tel", target="+1"),
    ]


@pytest.mark.parametrize(("addresses", "index"), [([{}, {"type": 5}], 1), ([{"type": "x"}], 0), ([{}] * 101, None)])
def test_what_is_no_address_is_named(addresses: list[dict[str, Any]], index: int | None) -> None:
    with pytest.raises(InvalidError) as refused:
        checked_addresses(addresses)
    assert (refused.value.field, refused.value.index) == ("addresses", index)
