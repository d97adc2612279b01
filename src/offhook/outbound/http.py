"""One HTTP attempt to a stranger over aiohttp: within the deadline, in bounded memory, with a named outcome.

aiohttp makes, checks, pools and parses. The exchange itself is written here, straight on its connections: its client
session costs most of an attempt's CPU, repeats GET, PUT and DELETE but not POST on a broken connection, and reads
interim answers for ever.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aiohttp import ClientConnectionError, ClientTimeout, StreamReader, hdrs
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage

from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.outcome import Outcome, outcome_of_status, parse_retry_after
from offhook.outbound.connections import (
    AttemptTrace,
    BoundedConnection,
    Gate,
    PolicyResolver,
    current_trace,
    open_connector,
)
from offhook.outbound.failures import name_failure
from offhook.outbound.port import AttemptResult, OutgoingRequest, Sender
from offhook.outbound.target import Target, wire_form

MAX_READ_BYTES = 65_536
"""Of a response body this much is read, or what is to be kept; a longer one costs the connection (contract, 4)."""
MAX_CACHED_TARGET_COUNT = 16_384

# The attempt has one deadline of its own; aiohttp's timers would only cost.
_NO_TIMEOUT = ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class HttpSender(Sender):
    """Sends webhooks over aiohttp's connections.

    Must be made inside a running event loop. At most `max_connections` attempts run at once, further ones wait before
    their deadline starts to count; as many connections are kept idle at most. `extra_ca` replaces
    the TLS context, which otherwise trusts what the system trusts. `nameservers` (`address` or `address:port`) replace
    the system's.
    """

    def __init__(
        self,
        policy: NetworkPolicy,
        *,
        timeout: timedelta = timedelta(seconds=5),
        max_connections: int = 1_000,
        extra_ca: ssl.SSLContext | None = None,
        nameservers: Sequence[str] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout.total_seconds()
        self._slots = asyncio.Semaphore(max_connections)
        self._target = functools.lru_cache(maxsize=MAX_CACHED_TARGET_COUNT)(Target)
        gate = Gate(policy)
        self._resolver = PolicyResolver(gate, nameservers)
        self._connector = open_connector(gate, self._resolver, tls=extra_ca or system_tls(), max_idle=max_connections)

    async def send(self, request: OutgoingRequest) -> AttemptResult:
        """Make one attempt; see the port."""
        async with self._slots:
            trace = AttemptTrace(self._loop.time())
            token = current_trace.set(trace)
            answer = _Answer(request.kept_bytes)
            try:
                async with asyncio.timeout_at(trace.started_s + self._timeout_s):
                    await self._attempt(request, trace, answer)
            except Exception as error:
                if answer.status_code is None:
                    return self._failed(error, trace)
                # The head decides: whatever befell the body after it is of no account.
            finally:
                current_trace.reset(token)
            return answer.result()

    async def close(self) -> None:
        """Close every connection and give up what is being looked up."""
        await self._connector.close()
        await self._resolver.close()

    async def _attempt(self, request: OutgoingRequest, trace: AttemptTrace, answer: _Answer) -> None:
        target = self._target(request.uri)
        wire = wire_form(request, target)
        connection = await self._connector.connect(target.address, [], _NO_TIMEOUT)
        try:
            await self._exchange(connection, wire, trace, answer)
            return
        except ClientConnectionError:
            if answer.status_code is not None or not trace.died_unanswered():
                raise
        trace.connection = None
        await self._exchange(await self._connect_anew(target), wire, trace, answer)

    async def _connect_anew(self, target: Target) -> Connection:
        # The pool cannot be passed by. What it still holds for this destination is as old as what has just died.
        while True:
            connection = await self._connector.connect(target.address, [], _NO_TIMEOUT)
            if _protocol(connection).use_count == 0:
                return connection
            connection.close()

    async def _exchange(self, connection: Connection, wire: bytes, trace: AttemptTrace, answer: _Answer) -> None:
        try:
            protocol = _protocol(connection)
            trace.connection = protocol
            message, body = await protocol.exchange(wire)
            answer.take_head(message, self._loop.time() - trace.started_s)
            if await answer.read_body(body) and protocol.has_sent_all():
                connection.release()
        finally:
            # Does nothing to a connection that was released.
            connection.close()

    def _failed(self, error: Exception, trace: AttemptTrace) -> AttemptResult:
        outcome, detail = name_failure(error, trace)
        return AttemptResult(
            outcome=outcome,
            status_code=None,
            latency_ms=round((self._loop.time() - trace.started_s) * 1000),
            response=b"",
            retry_after=None,
            detail=detail,
        )


def _protocol(connection: Connection) -> BoundedConnection:
    protocol = connection.protocol
    if not isinstance(protocol, BoundedConnection):
        raise TypeError("the connector did not make this connection")
    return protocol


class _Answer:
    """What has come of one attempt's answer so far."""

    __slots__ = ("is_whole", "kept", "kept_bytes", "latency_ms", "outcome", "retry_after", "status_code")

    def __init__(self, kept_bytes: int) -> None:
        self.kept_bytes = kept_bytes
        self.is_whole = False
        self.status_code: int | None = None
        self.outcome = Outcome.MALFORMED
        self.retry_after: timedelta | None = None
        self.latency_ms = 0
        self.kept = b""

    def take_head(self, message: RawResponseMessage, latency_s: float) -> None:
        status = message.code
        if status >= 300 and (asked := message.headers.get(hdrs.RETRY_AFTER)) is not None:
            self.retry_after = parse_retry_after(asked, datetime.now(UTC))
        self.outcome = outcome_of_status(status, has_retry_after=self.retry_after is not None)
        self.latency_ms = round(latency_s * 1000)
        self.status_code = status

    async def read_body(self, body: StreamReader) -> bool:
        """Read to the limit; True if the body ended before, so that the connection can be used again."""
        read_bytes = 0
        while not body.at_eof():
            chunk = await body.readany()
            read_bytes += len(chunk)
            if len(self.kept) < self.kept_bytes:
                self.kept += chunk[: self.kept_bytes - len(self.kept)]
            if read_bytes >= max(MAX_READ_BYTES, self.kept_bytes):
                break
        self.is_whole = body.at_eof() and read_bytes <= self.kept_bytes
        return body.at_eof()

    def result(self) -> AttemptResult:
        return AttemptResult(
            outcome=self.outcome,
            status_code=self.status_code,
            latency_ms=self.latency_ms,
            response=self.kept,
            retry_after=self.retry_after,
            detail="",
            is_whole=self.is_whole,
        )


def system_tls() -> ssl.SSLContext:
    """Certificates and names verified against what the system trusts, TLS 1.2 or later, HTTP/1.1 only."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
