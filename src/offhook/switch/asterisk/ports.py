"""Addresses and ports for an Asterisk of our own: whether they are what they should be, and free."""

from __future__ import annotations

import ipaddress
import socket

from offhook.domain.errors import MisconfiguredError


def check_address(host: str) -> None:
    """Raises MisconfiguredError (sip) if that is no IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise MisconfiguredError(
            f"SIP listens on an IP address, and {host!r} is none. Give one with --sip, such as 127.0.0.1:5060.",
            field="sip",
        ) from None


def check_sip_is_free(host: str, port: int, *, tcp: bool) -> None:
    """Raises MisconfiguredError if SIP cannot be had there, over UDP or over TCP if asked."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM) if tcp else (socket.SOCK_DGRAM,):
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise MisconfiguredError(
                    f"SIP cannot listen on {host}:{port}: {error.strerror}. Choose another place with --sip HOST:PORT.",
                    field="sip",
                ) from error


def is_free(port: int) -> bool:
    """Whether something could listen on this TCP port on loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
