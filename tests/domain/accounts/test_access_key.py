"""How long an access key is good for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from offhook.domain.accounts.access_key import AccessKey, check_is_there, expiry_us
from offhook.domain.errors import ConflictError, InvalidError
from offhook.domain.times import from_us

NOW = datetime(2026, 5, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(("lifetime_s", "lifetime"), [(None, timedelta(days=365)), (86_400, timedelta(days=1))])
def test_a_key_ends_when_its_time_is_over(lifetime_s: int | None, lifetime: timedelta) -> None:
    assert from_us(expiry_us(lifetime_s, NOW)) == NOW + lifetime


@pytest.mark.parametrize("lifetime_s", [10**12, 2**63 - 1, 2**63, 10**400])
def test_a_lifetime_that_no_date_can_hold_ends_with_the_calendar(lifetime_s: int) -> None:
    assert from_us(expiry_us(lifetime_s, NOW)) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("lifetime_s", [86_399, 0, -1])
def test_less_than_a_day_is_refused(lifetime_s: int) -> None:
    with pytest.raises(InvalidError) as refused:
        expiry_us(lifetime_s, NOW)
    assert refused.value.field == "expire"


def test_a_deleted_key_is_changed_no_more() -> None:
    key = AccessKey("id", "customer", "", "", "vb_", None, 1, None, None)
    check_is_there(key)
    with pytest.raises(ConflictError):
        check_is_there(msgspec.structs.replace(key, deleted_us=2))
