"""Addresses: what the user part of a SIP URI is in the terms of the contract (facts, section 2.6)."""

from __future__ import annotations

import re

from offhook.domain.catalogue.fields import Address

# RFC 3966, section 3: digits may be set apart by visual separators, which mean nothing.
_NUMBER = re.compile(r"\+?[0-9][0-9 .()-]*")
_SEPARATORS = re.compile(r"[ .()-]")


def address_of(user: str, name: str = "") -> Address:
    """The address of a SIP user: a telephone number (`tel`) if it reads like one, else `sip`.

    `name` is what the network calls it. A number loses its visual separators; anything else stays as it came, but for
    control characters, which a caller can smuggle into a SIP URI and nobody expects in an address.
    """
    user, name = _printable(user), _printable(name)
    if _NUMBER.fullmatch(user):
        return Address(type="tel", target=_SEPARATORS.sub("", user), target_name=name)
    return Address(type="sip", target=user, target_name=name)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip()
