"""Ports for what the tests start: none is ever given to two, also where workers of one run stand side by side.

The kernel gives ports from 32,768 on to outgoing connections, so those given here lie below. Of each kind a worker of
pytest-xdist has a slice of its own, by its number; so nobody can take what was found free before it is used. Within
its slice a worker goes on and on, beginning anywhere: another run on the same machine is mostly elsewhere, too.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket

# Where phones say that they hear, and nobody does: 16,000.
_LISTENING = range(10_000, 16_000)
_VOICE = range(20_000, 30_000)


def _of_this_worker(ports: range) -> range:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = len(ports) // count // 2 * 2
    return ports[number * size : (number + 1) * size]


def _for_ever(ports: range) -> itertools.cycle[int]:
    begin = random.randrange(len(ports))
    return itertools.cycle([*ports[begin:], *ports[:begin]])


_listening = _for_ever(_of_this_worker(_LISTENING))


def free_port() -> int:
    """A port of the loopback that is free for TCP and UDP."""
    for port in _listening:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: a cycle has no end")


def voice_ports() -> tuple[int, int]:
    """The first and the last port for voice that the Asterisks of this worker use."""
    own = _of_this_worker(_VOICE)
    return own[0], own[-1]
