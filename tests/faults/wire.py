"""A wire to a server that can go dead: nothing passes any more, and nobody is told."""

from __future__ import annotations

import selectors
import socket
import threading

_COMMITS_AT_START = 3


class Wire:
    """Passes TCP connections on to a port of the loopback, except while it is `dead`.

    While it is, connections are still taken and bytes still acknowledged, as a load balancer would. What was sent
    meanwhile passes later, a hang-up too.
    """

    def __init__(self, to_port: int) -> None:
        self.dead = False
        self._to_port = to_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            _socket_of(key).close()
        self._selector.close()

    def _run(self) -> None:
        while not self._closing:
            ready = self._selector.select(0.02)
            if self.dead:
                threading.Event().wait(0.02)
                continue
            for key, _ in ready:
                one = _socket_of(key)
                if one is self._listening:
                    self._connect(self._listening.accept()[0])
                elif one.fileno() >= 0:
                    # Else the other end has hung up a moment ago.
                    self._pass_on(one, key.data)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port), 1)
        except OSError:
            near.close()
            return
        self._selector.register(near, selectors.EVENT_READ, far)
        self._selector.register(far, selectors.EVENT_READ, near)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            found = one.recv(65_536)
            if found:
                other.sendall(found)
                return
        except OSError:
            pass
        for end in (one, other):
            self._selector.unregister(end)
            end.close()


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


class AnswerLosingWire(Wire):
    """Hangs up on the session that writes at its every third COMMIT: after it was carried out, or before it was sent.

    The first few are those with which it is made.
    """

    def __init__(self, to_port: int, *, carried_out: bool = True) -> None:
        self.losing = False
        self.lost_count = 0
        self._carried_out = carried_out
        self._commit_counts: dict[socket.socket, int] = {}
        super().__init__(to_port)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            found = one.recv(65_536, socket.MSG_PEEK)
        except OSError:
            found = b""
        if b"pg_try_advisory_lock" in found:
            self._commit_counts[one] = -_COMMITS_AT_START
        if one in self._commit_counts and b"COMMIT" in found:
            self._commit_counts[one] += 1
            if self.losing and self._commit_counts[one] > 0 and self._commit_counts[one] % 3 == 0:
                self._lose(one, other)
                return
        super()._pass_on(one, other)

    def _lose(self, near: socket.socket, far: socket.socket) -> None:
        self.lost_count += 1
        if self._carried_out:
            far.sendall(near.recv(65_536))
            far.recv(65_536)
        for end in (near, far):
            self._selector.unregister(end)
            end.close()
