"""What a phone calls itself, or what was dialled, as an address."""

from __future__ import annotations

import pytest

from offhook.domain.telephony.address import address_of


@pytest.mark.parametrize(
    ("user", "type_", "target"),
    [
        ("+15550100123", "tel", "+15550100123"),
        ("100", "tel", "100"),
        ("+1-555-010.0123", "tel", "+15550100123"),
        ("1 (555) 0100", "tel", "15550100"),
        ("alice", "sip", "alice"),
        ("", "sip", ""),
        ("+", "sip", "+"),
        ("*98", "sip", "*98"),
        ("\u0661\u0662\u0663", "sip", "\u0661\u0662\u0663"),
        ("12ab", "sip", "12ab"),
        ("al\r\nice\x01", "sip", "alice"),
    ],
)
def test_an_address_is_a_number_if_it_reads_like_one(user: str, type_: str, target: str) -> None:
    address = address_of(user, "Somebody")
    assert (address.type, address.target, address.target_name) == (type_, target, "Somebody")
