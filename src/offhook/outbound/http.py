"""One HTTP attempt to a stranger over aiohttp: within the deadline, in bounded memory, with a named outcome."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aiohttp import (
    ClientConnectionError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    hdrs,
)
from yarl import URL

from offhook.domain.networks import NetworkPolicy, literal_address
from offhook.domain.outcome import Outcome, outcome_of_status, parse_retry_after
from offhook.outbound.connections import (
    MAX_FIELD_BYTES,
    AttemptTrace,
    Gate,
    PolicyResolver,
    current_trace,
    open_connector,
)
from offhook.outbound.failures import name_failure
from offhook.outbound.port import AttemptResult, OutgoingRequest, Sender

MAX_KEPT_BYTES = 4_096
"""Of a response body this much is kept (contract, section 4)."""
MAX_READ_BYTES = 65_536
"""Of a response body this much is read; a longer one costs the connection (contract, section 4)."""
READ_BUFFER_BYTES = 16_384
MAX_CACHED_URL_COUNT = 4_096

# The attempt has one deadline of its own; aiohttp's timers would only cost.
_NO_TIMEOUT = ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class HttpSender(Sender):
    """Sends webhooks with aiohttp.

    Must be made inside a running event loop. At most `max_connections` attempts run at once, further ones wait before
    their deadline starts to count; as many connections are kept idle at most. `user_agent` is sent where a request
    brings none. `extra_ca` replaces the TLS context, which otherwise trusts what the system trusts. `nameservers`
    (`address` or `address:port`) replace the system's.
    """

    def __init__(
        self,
        policy: NetworkPolicy,
        *,
        timeout: timedelta = timedelta(seconds=5),
        max_connections: int = 1_000,
        user_agent: str,
        extra_ca: ssl.SSLContext | None = None,
        nameservers: Sequence[str] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout.total_seconds()
        self._slots = asyncio.Semaphore(max_connections)
        self._parse_uri = functools.lru_cache(maxsize=MAX_CACHED_URL_COUNT)(parse_uri)
        gate = Gate(policy)
        self._resolver = PolicyResolver(gate, nameservers)
        connect = functools.partial(
            open_connector, gate, self._resolver, tls=extra_ca or system_tls(), max_idle=max_connections
        )
        request_class = _request_class(user_agent)
        self._session = _open_session(connect(keep_alive=True), request_class)
        # aiohttp cannot be asked for a new connection while its pool holds one, so a second connector makes these.
        self._fresh_session = _open_session(connect(keep_alive=False), request_class)

    async def send(self, request: OutgoingRequest) -> AttemptResult:
        """Make one attempt; see the port."""
        async with self._slots:
            trace = AttemptTrace(self._loop.time())
            token = current_trace.set(trace)
            answer = _Answer()
            try:
                async with asyncio.timeout_at(trace.started_s + self._timeout_s):
                    await self._exchange(request, trace, answer)
            except Exception as error:
                if answer.status_code is None:
                    return self._failed(error, trace)
                # The head decides: whatever befell the body after it is of no account.
            finally:
                current_trace.reset(token)
            return answer.result()

    async def close(self) -> None:
        """Close every connection and give up what is being looked up."""
        await self._session.close()
        await self._fresh_session.close()
        await self._resolver.close()

    async def _exchange(self, request: OutgoingRequest, trace: AttemptTrace, answer: _Answer) -> None:
        response = await self._respond(request, trace)
        try:
            answer.take_head(response, self._loop.time() - trace.started_s)
            await answer.read_body(response)
        finally:
            response.close()

    async def _respond(self, request: OutgoingRequest, trace: AttemptTrace) -> ClientResponse:
        url = self._parse_uri(request.uri)
        try:
            return await _request(self._session, request, url)
        except ClientConnectionError:
            if not trace.died_unanswered():
                raise
        trace.connection = None
        return await _request(self._fresh_session, request, url)

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


class _Answer:
    """What has come of one attempt's answer so far."""

    __slots__ = ("kept", "latency_ms", "outcome", "retry_after", "status_code")

    def __init__(self) -> None:
        self.status_code: int | None = None
        self.outcome = Outcome.MALFORMED
        self.retry_after: timedelta | None = None
        self.latency_ms = 0
        self.kept = b""

    def take_head(self, response: ClientResponse, latency_s: float) -> None:
        status = response.status
        if status >= 300 and (asked := response.headers.get(hdrs.RETRY_AFTER)) is not None:
            self.retry_after = parse_retry_after(asked, datetime.now(UTC))
        self.outcome = outcome_of_status(status, has_retry_after=self.retry_after is not None)
        self.latency_ms = round(latency_s * 1000)
        self.status_code = status

    async def read_body(self, response: ClientResponse) -> None:
        """Read to the end, so that the connection can be used again, or to the limit."""
        content = response.content
        read_bytes = 0
        while read_bytes < MAX_READ_BYTES:
            chunk = await content.readany()
            if not chunk:
                return
            read_bytes += len(chunk)
            if len(self.kept) < MAX_KEPT_BYTES:
                self.kept += chunk[: MAX_KEPT_BYTES - len(self.kept)]

    def result(self) -> AttemptResult:
        return AttemptResult(
            outcome=self.outcome,
            status_code=self.status_code,
            latency_ms=self.latency_ms,
            response=self.kept,
            retry_after=self.retry_after,
            detail=f"HTTP {self.status_code}",
        )


def system_tls() -> ssl.SSLContext:
    """Certificates and names verified against what the system trusts, TLS 1.2 or later, HTTP/1.1 only."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def parse_uri(uri: str) -> URL:
    """The URL to request: as it was given, but for characters no request line can carry; raises ValueError.

    An address in an unusual spelling (`127.1`) is written out, as browsers do (WHATWG URL, "host parsing").
    """
    is_plain = uri.isascii() and uri.isprintable() and " " not in uri
    url = URL(uri, encoded=is_plain)
    host = url.raw_host or ""
    literal = literal_address(host)
    if literal is not None and literal != host and ":" not in host:
        return url.with_host(literal)
    return url


async def _request(session: ClientSession, request: OutgoingRequest, url: URL) -> ClientResponse:
    return await session.request(request.method, url, data=request.body, headers=request.headers, allow_redirects=False)


def _request_class(user_agent: str) -> type[ClientRequest]:
    class WebhookRequest(ClientRequest):
        # aiohttp's own defaults ask for compressed answers.
        DEFAULT_HEADERS = {hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: user_agent}  # noqa: RUF012

    return WebhookRequest


def _open_session(connector: TCPConnector, request_class: type[ClientRequest]) -> ClientSession:
    session = ClientSession(
        connector=connector,
        request_class=request_class,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=_NO_TIMEOUT,
        read_bufsize=READ_BUFFER_BYTES,
        max_line_size=MAX_FIELD_BYTES,
        max_field_size=MAX_FIELD_BYTES,
    )
    # aiohttp would repeat GET, PUT and DELETE (not POST) on any broken connection, new ones included, and perhaps on
    # another dead one of its pool. The one repetition the contract knows is made above, for every method alike.
    session._retry_connection = False
    return session
