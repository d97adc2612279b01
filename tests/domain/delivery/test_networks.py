"""Which addresses may be called, and which address a host really is."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.delivery.networks import NetworkPolicy, literal_address

CLOSED = NetworkPolicy(allow_loopback=False, allowed=(), own_ports=frozenset())

FORBIDDEN = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16", "::", "::1", "::2", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8"),
    *("::ffff:0:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1"),
    *("2001:10::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "e000::1"),
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_networks_of_ones_own_are_refused(address: str) -> None:
    assert CLOSED.refusal(address, 443)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "198.17.0.1"),
        *("223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:200::1", "2003::1"),
    ],
)
def test_public_addresses_are_open(address: str) -> None:
    assert CLOSED.refusal(address, 443) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_can_be_opened(address: str) -> None:
    assert NetworkPolicy(allow_loopback=True).refusal(address, 80) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "0.0.0.0", "::", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::"])
def test_opening_loopback_opens_nothing_else(address: str) -> None:
    assert NetworkPolicy(allow_loopback=True).refusal(address, 80)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_own_ports_stay_closed_even_where_everything_is_allowed(address: str) -> None:
    policy = NetworkPolicy(
        allow_loopback=True,
        allowed=(ip_network("0.0.0.0/0"), ip_network("::/0")),
        own_ports=frozenset({8080}),
    )
    assert policy.refusal(address, 8080)
    assert policy.refusal(address, 8081) is None
    assert policy.refusal("10.0.0.6", 8080) is None


def test_an_allowed_network_opens_exactly_itself() -> None:
    policy = NetworkPolicy(allowed=(ip_network("10.1.0.0/16"), ip_network("64:ff9b::/96")))
    assert policy.refusal("10.1.2.3", 80) is None
    assert policy.refusal("::ffff:10.1.2.3", 80) is None
    assert policy.refusal("64:ff9b::8.8.8.8", 80) is None
    assert policy.refusal("10.2.0.1", 80)


def test_what_is_no_address_is_refused() -> None:
    assert CLOSED.refusal("example.com", 80)


@given(st.ip_addresses(v=4))
def test_every_address_open_here_is_global_in_the_standard_library_too(address: IPv4Address) -> None:
    if CLOSED.refusal(str(address), 80) is None:
        assert address.is_global


@given(st.ip_addresses(v=6))
def test_every_open_ipv6_address_is_global_unicast(address: IPv6Address) -> None:
    if CLOSED.refusal(str(address), 80) is None:
        assert address.is_global
        assert not address.is_multicast
        assert address in ip_network("2000::/3")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1"),
        *("127.0.0.1.", "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "%31%32%37.1", "127.0.0\u00ad.1", "0X7F.0x1"),
    ],
)
def test_loopback_is_found_however_it_is_spelled(host: str) -> None:
    assert literal_address(host) == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:7f00:1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[fe80::1%25eth0]", "fe80::1%eth0"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
    ],
)
def test_other_literals(host: str, address: str) -> None:
    found = literal_address(host)
    assert found is not None
    assert NetworkPolicy(allow_loopback=True).refusal(found, 80) == NetworkPolicy(allow_loopback=True).refusal(
        address, 80
    )


@pytest.mark.parametrize(
    "host",
    ["example.com", "localhost", "1.2.3.4.5", "256.1.1.1", "08.1.1.1", "a.1", "", ".", "127..1", "[::zz]", "0xg"],
)
def test_names_and_nonsense_are_no_address(host: str) -> None:
    assert literal_address(host) is None


@given(st.text(alphabet="0123456789xXaf.", min_size=1, max_size=16))
def test_whatever_the_c_library_takes_for_an_address_is_one(text: str) -> None:
    try:
        packed = socket.inet_aton(text)
    except OSError:
        return
    assert literal_address(text) == socket.inet_ntoa(packed)


def _spelled(number: int, split: int, bases: list[str]) -> str:
    heads = [(number >> (24 - 8 * place)) & 255 for place in range(split)]
    tail = number & ((1 << (32 - 8 * split)) - 1)
    return ".".join(format_number(part, base) for part, base in zip([*heads, tail], bases, strict=False))


def format_number(part: int, base: str) -> str:
    return {"decimal": f"{part}", "octal": f"0{part:o}", "hex": f"0x{part:x}"}[base]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 3),
    st.lists(st.sampled_from(["decimal", "octal", "hex"]), min_size=4, max_size=4),
    st.booleans(),
)
def test_every_spelling_of_an_address_is_that_address(number: int, split: int, bases: list[str], wide: bool) -> None:
    host = _spelled(number, split, bases)
    if wide:
        host = "".join(chr(ord(c) + 0xFEE0) for c in host)
    assert literal_address(host) == str(IPv4Address(number))


@given(st.text(max_size=40))
def test_no_host_breaks_the_parser(host: str) -> None:
    found = literal_address(host)
    if found is not None:
        CLOSED.refusal(found, 80)
