"""The Asterisk REST Interface over aiohttp: commands, and the stream of events.

https://docs.asterisk.org/Configuration/Interfaces/Asterisk-REST-Interface-ARI/ (Asterisk 16 to 22). What the events
mean is not decided here (see `inputs`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from yarl import URL

from offhook.domain.errors import NotFoundError, UnavailableError

APPLICATION = "offhook"
"""The name our dialplan gives to `Stasis()`."""

PROBE = "offhook-probe"
"""The application under which it is tried whether a stream opens: a second stream of one application ends the first."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_TIMEOUT = aiohttp.ClientTimeout(total=5, sock_connect=3)
_HEARTBEAT_S = 10.0
_MAX_MESSAGE_BYTES = 1024 * 1024
_MAX_REASON = 200
# Asterisk closes a connection on which nothing was asked for 15 s (http.conf, session_keep_alive); whatever is sent
# just then gets no answer, and nobody knows whether it was heard.
_IDLE_S = 10.0


class NoSuchChannelError(NotFoundError):
    """What was asked for is not there: a channel, or anything else."""

    default_reason = "CHANNEL_NOT_FOUND"


class SwitchUnavailableError(UnavailableError):
    """Asterisk cannot be reached, or failed at what it was asked."""

    default_reason = "SWITCH_UNAVAILABLE"


class AriUnreachableError(SwitchUnavailableError):
    """Nothing was sent: no connection came about."""


class AriRefusedError(SwitchUnavailableError):
    """Asterisk answered with a status that is an error, and no 404."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class AriAnswer(msgspec.Struct, frozen=True):
    """What Asterisk answered: HTTP's status, and its JSON. `content` is None if there is none."""

    status: int
    content: Any

    @property
    def is_ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.status < 300

    @property
    def reason(self) -> str:
        """Why not, as Asterisk put it; empty if it said nothing."""
        words = self.content if isinstance(self.content, dict) else {}
        # A failed allocation is the only one that is called an error.
        return str(words.get("message") or words.get("error") or "")[:_MAX_REASON]


class AriEndpoint(msgspec.Struct, frozen=True):
    """Where an Asterisk's ARI is, such as `http://127.0.0.1:8088/ari`, and who we are there.

    The URL may have a prefix (http.conf), such as `http://127.0.0.1:8088/xyz/ari`. That is secret like the password.
    """

    url: str
    user: str
    password: str

    @property
    def address(self) -> str:
        """The URL without its secrets: for logs and messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def __repr__(self) -> str:
        return f"AriEndpoint({self.address!r}, {self.user!r})"


class AriClient:
    """One Asterisk. The password travels in a header only, never in a URL that somebody might log."""

    def __init__(self, endpoint: AriEndpoint) -> None:
        self._base = endpoint.url.rstrip("/").removesuffix("/ari") + "/ari/"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(endpoint.user, endpoint.password)}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AriClient:
        connector = aiohttp.TCPConnector(keepalive_timeout=_IDLE_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, method: str, *path: str, query: Mapping[str, str] = _NOTHING, body: Mapping[str, Any] | None = None
    ) -> AriAnswer:
        """What Asterisk answers, whatever that is. The parts of `path` may be any text: a slash stays within its part.

        Raises AriUnreachableError, and SwitchUnavailableError if nobody knows what became of it. What may hold commas
        belongs into the `body`: a query is taken apart at them where Asterisk would take several.
        """
        # As it stands: a part that is made of dots would else be taken for a way up.
        url = URL(str(URL(self._base)) + "/".join(quote(part, safe="") for part in path), encoded=True)
        return await self._send(method, url, query, body)

    async def get(self, path: str) -> Any:
        """What the resource is. Raises NoSuchChannelError (for whatever is not there), SwitchUnavailableError."""
        return await self._request("GET", path, {})

    async def post(self, path: str, **parameters: str) -> Any:
        """Make or command something. Raises as `get`."""
        return await self._request("POST", path, parameters)

    async def delete(self, path: str, **parameters: str) -> None:
        """End something. Raises as `get`."""
        await self._request("DELETE", path, parameters)

    async def put(self, path: str, body: Any) -> Any:
        """Set something. Raises as `get`."""
        return await self._request("PUT", path, {}, body)

    @contextlib.asynccontextmanager
    async def stream(self, application: str = APPLICATION) -> AsyncIterator[AsyncIterator[bytes]]:
        """A stream of the application's events, opened: each as JSON, from now on, until Asterisk closes it.

        Only what concerns the application's own channels and what it has subscribed to is told. (A stream of
        everything hangs Asterisk 22 for good when it is cut while calls begin or end: asterisk/asterisk, issue 2170.)

        Raises SwitchUnavailableError, at the opening and while it is read.
        """
        assert self._session is not None
        try:
            async with self._session.ws_connect(
                self._base + "events",
                params={"app": application},
                heartbeat=_HEARTBEAT_S,
                max_msg_size=_MAX_MESSAGE_BYTES,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=2),
            ) as socket:
                yield _messages(socket)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SwitchUnavailableError(f"Asterisk's event stream failed: {_fault(error)}.") from error

    async def is_healthy(self) -> bool:
        """Whether it says which applications there are, and opens a stream, each in time: one that hangs does not."""
        try:
            await self.get("applications")
            async with self.stream(PROBE):
                return True
        except (SwitchUnavailableError, NoSuchChannelError):
            return False

    async def _request(self, method: str, path: str, parameters: dict[str, str], body: Any = None) -> Any:
        answer = await self._send(method, URL(self._base + path), parameters, body)
        if answer.status == 404:
            raise NoSuchChannelError(f"Asterisk has no {path}.")
        if not answer.is_ok:
            reason = answer.reason and f": {answer.reason}"
            raise AriRefusedError(answer.status, f"Asterisk answered {answer.status} to {method} {path}{reason}.")
        return answer.content

    async def _send(self, method: str, url: URL, query: Mapping[str, str], body: Any) -> AriAnswer:
        if self._session is None or self._session.closed:
            raise AriUnreachableError("Asterisk is not connected.")
        try:
            async with self._session.request(
                method, url, params=query or None, json=body, allow_redirects=False
            ) as answer:
                content = await answer.read()
                is_json = answer.status < 300 or answer.content_type == "application/json"
                return AriAnswer(answer.status, msgspec.json.decode(content) if content and is_json else None)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise AriUnreachableError(f"Asterisk cannot be reached: {_fault(error)}.") from error
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.LimitOverrunError, msgspec.DecodeError) as error:
            raise SwitchUnavailableError(f"Asterisk gave no answer to {method}: {_fault(error)}.") from error


async def _messages(socket: aiohttp.ClientWebSocketResponse[Any]) -> AsyncIterator[bytes]:
    try:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                yield message.data
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SwitchUnavailableError(f"Asterisk's event stream failed: {_fault(error)}.") from error


def _fault(error: Exception) -> str:
    """What went wrong, without anything that came from a URL or a header."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"it answered {error.status}" + (": user or password are wrong" if error.status == 401 else "")
    return type(error).__name__
