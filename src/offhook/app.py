"""The composition root: the only place that names concrete classes, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from offhook import __version__
from offhook.accounts.accounts import Accounts, Credentials, create_first_customer
from offhook.accounts.accounts import reset_password as change_password
from offhook.accounts.authentication import Authenticator
from offhook.accounts.passwords import Passwords
from offhook.accounts.throttle import ThrottleLimits
from offhook.accounts.tokens import load_login_tokens
from offhook.delivery.engine import Engine, EngineSettings
from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.retention import Retention
from offhook.delivery.tester import SampleSender
from offhook.domain.errors import MisconfiguredError, OffhookError
from offhook.domain.networks import NetworkPolicy
from offhook.domain.publication import PublishLimits
from offhook.domain.retry import RetryPolicy
from offhook.folder import DataFolder, Profile, write_private
from offhook.logs import configure_logging
from offhook.outbound.http import HttpSender
from offhook.settings import Settings
from offhook.store.customers import count_customers
from offhook.store.database import Database, sqlite_url
from offhook.store.store import Store
from offhook.switchboard import Switchboard, start_asterisk, start_calls
from offhook.web.app import create_app
from offhook.web.limits import Rate
from offhook.web.services import Services, WebSettings

log = structlog.get_logger()

T = TypeVar("T")

_USER_AGENT = f"Offhook/{__version__}"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_CREDENTIALS_FILE = "first-credentials.txt"


def serve(settings: Settings, data: Path) -> int:
    """Run a node until it is told to stop; the exit code. The first signal drains, the second stops at once."""
    configure_logging(settings["log.level"], settings["log.format"])
    _allow_many_files()
    try:
        with DataFolder(data) as folder:
            return uvloop.run(_serve(settings, folder))
    except OffhookError as error:
        print(f"offhook: {error.message}", file=sys.stderr)
        return 1


def init(settings: Settings, data: Path) -> Credentials:
    """Make the first customer of a new database. Raises ConflictError if there is one, MisconfiguredError."""
    with DataFolder(data) as folder:
        credentials = _with_store(settings, folder, lambda store: create_first_customer(store, Passwords()))
        _write_profile(settings, folder, credentials)
        return credentials


def reset_password(settings: Settings, data: Path, username: str) -> str:
    """A new password for an agent, without its old one. Raises NotFoundError, MisconfiguredError."""
    with DataFolder(data) as folder:
        return _with_store(settings, folder, lambda store: change_password(store, Passwords(), username))


def open_database(settings: Settings, data: Path) -> Database:
    """The database that these settings mean."""
    url: str = settings["database.url"]
    return Database(url or sqlite_url(data.absolute() / "offhook.db"))


def _with_store(settings: Settings, folder: DataFolder, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = Store(open_database(settings, folder.path))
        await store.start()
        try:
            return await work(store)
        finally:
            await store.stop()

    return asyncio.run(run())


async def _serve(settings: Settings, folder: DataFolder) -> int:
    stop = _StopSignals()
    async with AsyncExitStack() as stack:
        node = Node(settings, folder)
        stack.push_async_callback(node.stop)
        await node.start()
        return 0 if await stop.wait(node.ended) else 1


class _StopSignals:
    """SIGTERM and SIGINT: the first asks to stop, the second does not ask."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    async def wait(self, ended: Sequence[asyncio.Event]) -> bool:
        """Until somebody asks (True), or something that the node cannot do without has ended (False)."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._asked, *ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for waiting in waits:
            waiting.cancel()
        if not self._asked.is_set():
            log.error("node.failed", hint="a part that cannot be done without has ended; see above")
        return self._asked.is_set()

    def _on_signal(self) -> None:
        if self._asked.is_set():
            os._exit(1)
        log.info("node.stopping", hint="attempts under way may finish; once more stops at once")
        self._asked.set()


class Node:
    """Everything that runs in one process, started in the order of `start` and stopped in the reverse."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        self._settings = settings
        self._folder = folder
        self._stack = AsyncExitStack()
        self._recovered = False
        self.ended: list[asyncio.Event] = []

    async def start(self) -> None:
        """Start, or raise MisconfiguredError with nothing left running."""
        settings = self._settings
        listening = _listen(settings)
        self._stack.callback(listening.close)
        board = await start_asterisk(settings, self._folder, self._stack)
        store = Store(open_database(settings, self._folder.path))
        await store.start()
        self._stack.push_async_callback(store.stop)
        await self._first_start(store)

        registry = _registry()
        policy = _network_policy(settings, board)
        sender = HttpSender(
            policy,
            timeout=settings["delivery.timeout"],
            max_connections=settings["delivery.max_in_flight"],
            user_agent=_USER_AGENT,
        )
        self._stack.push_async_callback(sender.close)
        engine = Engine(store, sender, _engine_settings(settings), DeliveryMetrics(registry))
        await engine.start()
        self._stack.push_async_callback(engine.stop)
        self.ended.append(engine.ended)
        retention = Retention(store, settings["retention.events"], settings.by_family("retention.events"))
        await retention.start()
        self._stack.push_async_callback(retention.stop)

        passwords = Passwords()
        tokens = await load_login_tokens(store, settings["auth.token_lifetime"])
        limits = ThrottleLimits(
            free_failures=settings["limits.failed_log_ins"], wrong_keys=settings["limits.wrong_keys"]
        )
        authenticator = Authenticator(store, tokens, passwords, limits)
        telephony = await start_calls(settings, board, store, self._stack)
        services = Services(
            settings=_web_settings(settings),
            store=store,
            accounts=Accounts(store, passwords, authenticator),
            authenticator=authenticator,
            policy=policy,
            tester=SampleSender(store, sender, _USER_AGENT),
            calls=telephony.calls,
            readiness=lambda: telephony.missing() if self._recovered else "recovery",
            registry=registry,
        )
        await self._start_web(services, listening)
        self._recovered = True
        _announce(settings, policy, board.sip)

    async def stop(self) -> None:
        """Stop everything, in the reverse order of its start."""
        await self._stack.aclose()

    async def _first_start(self, store: Store) -> None:
        if await store.read(count_customers):
            return
        credentials = await create_first_customer(store, Passwords())
        _write_profile(self._settings, self._folder, credentials)
        _show_credentials(self._folder, credentials)

    async def _start_web(self, services: Services, listening: socket.socket) -> None:
        config = uvicorn.Config(
            create_app(services),
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=64 * 1024,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="web")
        ended = asyncio.Event()
        serving.add_done_callback(lambda _: ended.set())
        self.ended.append(ended)

        async def stop() -> None:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await serving

        self._stack.push_async_callback(stop)
        await server.listening.wait()


class _Server(uvicorn.Server):
    """Uvicorn in our event loop: the signals are ours."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()


def _listen(settings: Settings) -> socket.socket:
    host, port = settings["server.host"], settings["server.port"]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except (OSError, socket.gaierror) as error:
        listening.close()
        raise MisconfiguredError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another address with --host or --port.",
            field="server.port",
        ) from error
    listening.setblocking(False)
    return listening


def _network_policy(settings: Settings, board: Switchboard) -> NetworkPolicy:
    """Loopback destinations are for trying things out: only while nobody else can reach this server."""
    is_local = settings["server.host"] in _LOOPBACK
    is_private = not settings["server.public_url"] and not settings["server.trusted_proxies"]
    return NetworkPolicy(
        allow_loopback=is_local and is_private,
        allowed=settings["delivery.allowed_networks"],
        own_ports=frozenset({settings["server.port"], settings["switch.sip"][1], board.port or 0}),
    )


def _engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        user_agent=_USER_AGENT,
        retry=RetryPolicy(
            settings["delivery.retry_schedule"],
            settings["delivery.jitter"],
            settings.by_family("delivery.retry_schedule"),
        ),
        order_hold=settings["delivery.order_hold"],
        slots_per_destination=settings["delivery.slots_per_destination"],
        max_in_flight=settings["delivery.max_in_flight"],
        disable_after=settings["delivery.disable_after"],
        drain_time=settings["delivery.drain_time"],
    )


def _web_settings(settings: Settings) -> WebSettings:
    publishing: float = settings["limits.publish_per_second"]
    return WebSettings(
        host=settings["server.host"],
        port=settings["server.port"],
        public_url=settings["server.public_url"],
        secure_cookies=str(settings["server.public_url"]).startswith("https://"),
        trusted_proxies=settings["server.trusted_proxies"],
        max_request_bytes=settings["limits.max_request"],
        publish=PublishLimits(max_event_bytes=settings["limits.max_event"]),
        auth=Rate(settings["limits.auth_per_second"], settings["limits.auth_burst"]),
        per_address=Rate(settings["limits.address_per_second"], settings["limits.address_burst"]),
        per_customer=Rate(settings["limits.customer_per_second"], settings["limits.customer_burst"]),
        publishing=Rate(publishing, publishing),
    )


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def _write_profile(settings: Settings, folder: DataFolder, credentials: Credentials) -> None:
    host = settings["server.host"]
    shown = f"[{host}]" if ":" in host else host
    folder.write_profile(Profile(f"http://{shown}:{settings['server.port']}", credentials.access_key))


def _show_credentials(folder: DataFolder, credentials: Credentials) -> None:
    text = (
        "Your first customer. Keep this: it is shown only once.\n\n"
        f"  username        {credentials.username}\n"
        f"  password        {credentials.password}\n"
        f"  access key      {credentials.access_key}\n"
        f"  webhook secret  {credentials.webhook_secret}\n"
        f"  customer id     {credentials.customer_id}\n"
    )
    if sys.stdout.isatty():
        print(f"\n{text}", flush=True)
        return
    file = folder.path / _CREDENTIALS_FILE
    write_private(file, text.encode())
    print(f"The first customer's credentials are in {file} (readable by you only).", flush=True)


def _announce(settings: Settings, policy: NetworkPolicy, sip: str) -> None:
    host, port = settings["server.host"], settings["server.port"]
    url = settings["server.public_url"] or f"http://{host}:{port}"
    print(f"Offhook {__version__} is ready. API and documentation: {url}/docs", flush=True)
    if sip:
        print(f"Dial any number at {sip}, for example sip:+15559876543@{sip}", flush=True)
    if policy.allow_loopback:
        print("Webhooks to loopback addresses are allowed, as this server listens on loopback only.", flush=True)
    print("Ctrl-C stops it once attempts under way have ended.", flush=True)


def _allow_many_files() -> None:
    """As many connections as the machine allows: the default of 1024 files is soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
