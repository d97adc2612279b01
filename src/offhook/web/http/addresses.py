"""Addresses of those who ask, in one spelling, and what counts as one of them."""

from __future__ import annotations

import ipaddress
import re

# Some proxies write the port behind the address; each port must not be a caller of its own.
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+")
_MAX_TEXT = 64


def plain_address(text: str) -> str:
    """The address in its shortest spelling; an IPv4 address inside IPv6 as IPv4. What is no address stays."""
    address = _parse(text)
    return text[:_MAX_TEXT] if address is None else str(address)


def counted_address(text: str) -> str:
    """What limits count: an IPv4 address, or the /64 of an IPv6 one, as that is what a provider gives to one caller."""
    address = _parse(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return text[:_MAX_TEXT] if address is None else str(address)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    found = _WITH_PORT.fullmatch(text)
    bare = (found[1] or found[2]) if found else text
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
