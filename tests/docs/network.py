"""Where the documentation's ports are free: a network of its own if the kernel gives one, else other ports.

In a network of its own (a network namespace, `unshare(1)`) the blocks are run letter for letter. Elsewhere port
numbers are replaced, in what is typed and, for what is not typed, through the environment.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

API, SIP, RECEIVER = "8080", "5060", ("5000", "5001")
_HOLDS = """
import fcntl, socket, struct, sys
with socket.socket() as any_socket:  # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING for the loopback
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
print("up", flush=True)
sys.stdin.read()
"""


class OwnNetwork:
    """A loopback that nobody else is on; it is there until `close`."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--net", sys.executable, "-c", _HOLDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        self.is_there = self._holder.stdout.readline() == "up\n"
        self.prefix = ["nsenter", f"--target={self._holder.pid}", "--user", "--net", "--preserve-credentials", "--"]
        self.environment: dict[str, str] = {}

    def close(self) -> None:
        """Give it back, once everybody has left it."""
        self._holder.communicate(timeout=10)

    def written(self, text: str) -> str:
        """The text of a block, as it is typed here."""
        return text


class OtherPorts:
    """The network of the tests, with ports that are free there."""

    def __init__(self) -> None:
        self.prefix: list[str] = []
        receiver = str(free_port())
        self._instead = {API: str(free_port()), SIP: str(free_port()), **dict.fromkeys(RECEIVER, receiver)}
        sip = f"127.0.0.1:{self._instead[SIP]}"
        self.environment = {
            "OFFHOOK_SERVER__PORT": self._instead[API],
            "OFFHOOK_SWITCH__SIP": sip,
            "SIP": sip,
            "PORT": receiver,
        }

    def close(self) -> None:
        """Nothing to give back."""

    def written(self, text: str) -> str:
        """The text of a block with other ports; nothing else of it changes."""
        return re.sub(rf"(?<=:)({'|'.join(self._instead)})\b", lambda found: self._instead[found[1]], text)


def network(*, own: bool = True) -> OwnNetwork | OtherPorts:
    """An own one, if that is wanted and can be had."""
    if own and all(Path("/usr/bin", name).exists() for name in ("unshare", "nsenter")):
        made = OwnNetwork()
        if made.is_there:
            return made
        made.close()
    return OtherPorts()
