"""Which addresses a webhook may be sent to, and what address a URL's host literally is.

The table is our own: `ipaddress.is_global` lets multicast, NAT64 and 6to4 through. IPv6 is closed by default; only
2000::/3, the one block IANA has given out for global unicast, is open at all.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

import msgspec

# IANA IPv4 Special-Purpose Address Registry (RFC 6890 and its updates); 168.63.129.16 is a public address at which
# Microsoft Azure answers every virtual machine with the platform's own services.
_FORBIDDEN_V4 = (
    (IPv4Network("0.0.0.0/8"), "unspecified"),
    (IPv4Network("10.0.0.0/8"), "private"),
    (IPv4Network("100.64.0.0/10"), "carrier-grade NAT"),
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("168.63.129.16/32"), "cloud platform"),
    (IPv4Network("169.254.0.0/16"), "link-local"),
    (IPv4Network("172.16.0.0/12"), "private"),
    (IPv4Network("192.0.0.0/24"), "reserved"),
    (IPv4Network("192.0.2.0/24"), "documentation"),
    (IPv4Network("192.88.99.0/24"), "6to4 relay"),
    (IPv4Network("192.168.0.0/16"), "private"),
    (IPv4Network("198.18.0.0/15"), "benchmark"),
    (IPv4Network("198.51.100.0/24"), "documentation"),
    (IPv4Network("203.0.113.0/24"), "documentation"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("240.0.0.0/4"), "reserved"),
)

# IANA IPv6 Special-Purpose Address Registry. The first match names the reason, so narrow blocks come first.
_FORBIDDEN_V6 = (
    (IPv6Network("::/128"), "unspecified"),
    (IPv6Network("::1/128"), "loopback"),
    (IPv6Network("::ffff:0:0/96"), "IPv4-mapped"),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated"),
    (IPv6Network("::/96"), "IPv4-compatible"),
    (IPv6Network("64:ff9b::/96"), "NAT64"),
    (IPv6Network("64:ff9b:1::/48"), "NAT64"),
    (IPv6Network("100::/64"), "discard-only"),
    (IPv6Network("2001::/32"), "Teredo"),
    (IPv6Network("2001:2::/48"), "benchmark"),
    (IPv6Network("2001::/23"), "reserved"),
    (IPv6Network("2001:db8::/32"), "documentation"),
    (IPv6Network("2002::/16"), "6to4"),
    (IPv6Network("3fff::/20"), "documentation"),
    (IPv6Network("5f00::/16"), "segment routing"),
    (IPv6Network("fc00::/7"), "unique local"),
    (IPv6Network("fe80::/10"), "link-local"),
    (IPv6Network("fec0::/10"), "site-local"),
    (IPv6Network("ff00::/8"), "multicast"),
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")


OWN_PORT = "this server's own port"
"""Why a destination is refused that would be this server itself."""


class NetworkPolicy(msgspec.Struct, frozen=True):
    """Where webhooks may go.

    `allowed` networks are open whatever else they are. `allow_loopback` opens 127.0.0.0/8 and ::1. `own_ports` are
    the ports this server listens on: on loopback and the unspecified address they are never a destination, not even an
    allowed one. The machine's other addresses come and go: they are asked for at every connect (`outbound`).
    """

    allow_loopback: bool = False
    allowed: tuple[IPv4Network | IPv6Network, ...] = ()
    own_ports: frozenset[int] = frozenset()

    def refusal(self, address: str, port: int) -> str | None:
        """Why a connection to `address` (text, with or without a scope id) and `port` is refused; None if it may be."""
        try:
            full = _without_scope(ip_address(address))
        except ValueError:
            return "not an address"
        inner = full.ipv4_mapped if isinstance(full, IPv6Address) else None
        judged = inner or full
        if port in self.own_ports and (judged.is_loopback or judged.is_unspecified):
            return OWN_PORT
        if self._is_allowed(full) or (inner is not None and self._is_allowed(inner)):
            return None
        reason = _forbidden_as(full)
        if reason is None:
            return None
        return f"{full} is {reason}" if inner is None else f"{full} is {reason} ({inner})"

    def _is_allowed(self, address: IPv4Address | IPv6Address) -> bool:
        if self.allow_loopback and address.is_loopback and not _is_mapped(address):
            return True
        return any(address.version == network.version and address in network for network in self.allowed)


def _is_mapped(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None


def _without_scope(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    # A scope id picks an interface, never another address; membership tests must not depend on it.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address


def _forbidden_as(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _FORBIDDEN_V4 if address in network), None)
    reason = next((reason for network, reason in _FORBIDDEN_V6 if address in network), None)
    if reason is None and address not in _GLOBAL_UNICAST_V6:
        return "reserved"
    return reason


# Most addresses are written so: nothing is to be understood.
_CANONICAL_V4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}", re.ASCII)
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]*)|([0-9]+)", re.ASCII)
# What UTS #46 maps to nothing but NFKC keeps: soft hyphen, joiners and spaces of no width, variation selectors.
_IGNORED = dict.fromkeys((0xAD, 0x34F, 0x200B, 0x200C, 0x200D, 0x2060, 0x2064, 0xFEFF, *range(0xFE00, 0xFE10)))


def literal_address(host: str) -> str | None:
    """The canonical text of the address that a URL's host is, however it is spelled; None for a name.

    Understands what resolvers and browsers do: brackets, percent-encoding, a trailing dot, characters that IDNA maps
    to digits and dots (UTS #46), and IPv4 in one to four decimal, octal or hexadecimal parts (inet_aton; WHATWG URL,
    "IPv4 parser"). A scope id is kept.
    """
    if _CANONICAL_V4.fullmatch(host):
        return host
    text = unquote(host.strip()).translate(_IGNORED)
    text = unicodedata.normalize("NFKC", text).replace("\u3002", ".")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        try:
            return str(ip_address(text))
        except ValueError:
            return None
    number = _ipv4_number(text.removesuffix("."))
    return None if number is None else str(IPv4Address(number))


def _ipv4_number(text: str) -> int | None:
    parts = [_part_number(part) for part in text.split(".")]
    if len(parts) > 4:
        return None
    number = 0
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        bits = 8 * (5 - len(parts)) if is_last else 8
        if part is None or part >= 1 << bits:
            return None
        number = number << bits | part
    return number


def _part_number(part: str) -> int | None:
    match = _NUMBER.fullmatch(part)
    if match is None or len(part) > 64:
        return None
    if match[1] is not None:
        return int(match[1] or "0", 16)
    if len(part) > 1 and part[0] == "0":
        return int(part, 8) if not set(part) & {"8", "9"} else None
    return int(part)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """A network or a single address as an operator writes it (`10.1.0.0/16`, `::1`); raises ValueError."""
    return ip_network(text.strip(), strict=False)


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine itself, by address or by the name that always means it (RFC 6761)."""
    address = literal_address(f"[{host}]" if ":" in host else host)
    return host.lower() == "localhost" if address is None else ip_address(address.partition("%")[0]).is_loopback
