"""What a number is, and what it is matched by."""

from __future__ import annotations

import pytest

from offhook.domain.errors import InvalidError
from offhook.domain.telephony.number import digits_of, kept_number


@pytest.mark.parametrize(
    ("text", "kept"), [("100", "100"), ("+1 (555) 987-6543", "+15559876543"), ("1.555.9876543", "15559876543")]
)
def test_a_number_is_kept_without_separators(text: str, kept: str) -> None:
    assert kept_number(text) == kept


@pytest.mark.parametrize("text", ["", "1", "+", "++15", "1234567890123456", "sip:100", "10a", "١٠٠", "100\n"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        kept_number(text)
    assert caught.value.field == "number"
    assert digits_of(text) == ""


def test_a_plus_makes_no_difference_to_who_is_called() -> None:
    assert digits_of("+1-555-987-6543") == digits_of("15559876543") == "15559876543"
