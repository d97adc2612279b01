"""The composition root: the only place that names concrete classes, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from offhook import __version__
from offhook.accounts.access_keys import AccessKeys
from offhook.accounts.agents import Agents
from offhook.accounts.authentication import Authenticator
from offhook.accounts.customers import Customers
from offhook.accounts.deletions import Deletions
from offhook.accounts.first_customer import Credentials, create_first_customer
from offhook.accounts.passwords import Passwords
from offhook.accounts.throttle import ThrottleLimits
from offhook.accounts.tokens import load_login_tokens
from offhook.delivery.engine import Engine, EngineSettings
from offhook.delivery.finishing import Finisher
from offhook.delivery.log import EventLog
from offhook.delivery.metrics import DeliveryMetrics
from offhook.delivery.recorder import Recorder
from offhook.delivery.retention import Retention
from offhook.delivery.tester import SampleSender
from offhook.delivery.web_requests import WebRequests
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.delivery.retry import RetryPolicy
from offhook.domain.events.publication import PublishLimits
from offhook.domain.speech import Speak
from offhook.domain.switch.commands import ToSwitch
from offhook.domain.web_request import WebRequest
from offhook.folder import DataFolder, Profile
from offhook.node.service import Closing, Service
from offhook.node.supervisor import Supervisor
from offhook.node.unpacked import unpacked_folder
from offhook.outbound.http import HttpSender
from offhook.running.lanes import Lanes
from offhook.running.runner import Runner
from offhook.running.timers import Timers
from offhook.settings.areas import Settings
from offhook.speech.cache import SpeechCache
from offhook.speech.carrier import NoSpeech, SpeechCarrier
from offhook.speech.espeak import Espeak
from offhook.speech.installation import SPEECH
from offhook.store.database.database import Database, sqlite_url
from offhook.store.metrics import StoreMetrics
from offhook.store.queries.customers import count_customers
from offhook.store.store import Store
from offhook.switch.asterisk.ari import AriEndpoint
from offhook.switch.asterisk.configuration import Rtp
from offhook.switch.asterisk.embedded import EmbeddedAsterisk
from offhook.switch.asterisk.installation import default_root, is_installed
from offhook.switch.asterisk.own import own_asterisk
from offhook.switch.asterisk.switch import NAME as SWITCH_NAME
from offhook.switch.asterisk.switch import AsteriskSwitch
from offhook.switch.asterisk.watch import AsteriskWatch
from offhook.telephony.calls import CallService
from offhook.telephony.flows import Flows
from offhook.telephony.no_switch import NoCalls, end_open_calls
from offhook.telephony.nouns import COMMAND_TYPE, NOUNS, waits_for
from offhook.telephony.numbers import Numbers, make_first_numbers, number_that_takes_calls, route_of
from offhook.telephony.settings import CallSettings
from offhook.web.app import create_app
from offhook.web.limits import Rate
from offhook.web.server import WebServer, listen
from offhook.web.services import CallControl, Services, WebSettings

log = structlog.get_logger()

_USER_AGENT = f"Offhook/{__version__}"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_READY_POLL_S = 0.05


class Opened(msgspec.Struct, frozen=True):
    """Where a node can be reached: the URL of its API, and HOST:PORT where local programs may call ("": nowhere).

    `number` is one that takes calls ("": none).
    """

    url: str
    sip: str
    number: str
    allows_loopback: bool


class Node:
    """Everything that runs in one process.

    At a first start `keep_credentials` is told the credentials before they count, `note_credentials` afterwards.
    """

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        supervisor: Supervisor,
        keep_credentials: Callable[[Credentials], None],
        note_credentials: Callable[[Credentials], None],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._supervisor = supervisor
        self._keep_credentials = keep_credentials
        self._note_credentials = note_credentials
        self._asterisk: EmbeddedAsterisk | None = None
        self._store: Store | None = None
        self._switch: AsteriskSwitch | None = None
        self._is_open = False

    async def open(self) -> Opened:
        """Add every service, in order. Raises MisconfiguredError; leaving the supervisor stops what was added."""
        settings, supervisor = self._settings, self._supervisor
        for name in settings.retired:
            log.warning("settings.retired", setting=name)
        listening = listen(settings.server.host, settings.server.port)
        try:
            store = self._store = await supervisor.add(
                Store(open_database(settings, self._folder.path), NOUNS, COMMAND_TYPE)
            )
            await self._first_start(store)
            asterisk = await self._find_asterisk()
            registry = _registry()
            StoreMetrics(registry, store)
            policy = _network_policy(settings, asterisk)
            sender = _sender(settings, policy)
            await supervisor.add(Closing("outbound connections", sender.close))
            recorder = await supervisor.add(Recorder(store, settings.delivery.drain_time))
            engine_settings = _engine_settings(settings)
            engine = await supervisor.add(Engine(store, recorder, sender, engine_settings, DeliveryMetrics(registry)))
            await supervisor.add(Finisher(store), restart=True)
            keep = settings.retention.events
            await supervisor.add(
                Retention(store, keep.default, keep.families, settings.delivery.disable_after), restart=True
            )
            passwords = Passwords()
            tokens = await load_login_tokens(store, settings.auth.token_lifetime)
            authenticator = Authenticator(store, tokens, passwords, _throttle_limits(settings))
            customers = Customers(store, passwords, policy)
            await supervisor.add(Deletions(customers), restart=True)
            runner = Runner(store)
            lanes = Lanes(store, runner)
            lanes.register(WebRequest, WebRequests(store, sender, _USER_AGENT))
            calls = await self._take_calls(asterisk, store, runner, lanes)
            services = Services(
                settings=_web_settings(settings),
                store=store,
                customers=customers,
                agents=Agents(store, passwords),
                access_keys=AccessKeys(store, authenticator),
                authenticator=authenticator,
                tester=SampleSender(store, sender, _USER_AGENT),
                delivering=engine,
                log=EventLog(store),
                calls=calls,
                flows=Flows(store, runner, policy),
                numbers=Numbers(store, runner),
                readiness=self,
                registry=registry,
            )
        except BaseException:
            listening.close()
            raise
        await supervisor.add(WebServer(create_app(services), listening))
        self._is_open = True
        return Opened(_url(settings), self._sip(), await number_that_takes_calls(store), policy.allow_loopback)

    async def ready(self) -> None:
        """Return once nothing is missing, as `/readyz` has it."""
        while self.missing():  # noqa: ASYNC110 - what may be missing does not tell when it comes back
            await asyncio.sleep(_READY_POLL_S)

    def missing(self) -> list[str]:
        """What `/readyz` names; empty once the node is ready."""
        if not self._is_open:
            return ["recovery"]
        missing = self._supervisor.missing()
        if self._store is not None and self._store.is_away:
            missing.append("the database")
        if self._switch is not None and not self._switch.has_been_connected:
            missing.append("the phone system")
        return missing

    def switch(self) -> str:
        """Whether the phone system can be reached: `up`, `down`, or `off` where there is none."""
        if self._switch is None:
            return "off"
        return "up" if self._switch.is_connected else "down"

    def kill(self) -> None:
        """End at once what would outlive this process."""
        if self._asterisk is not None:
            self._asterisk.kill_for_good()

    def _sip(self) -> str:
        takes_calls = self._asterisk is not None and self._asterisk.takes_local_calls
        return self._asterisk.sip if self._asterisk is not None and takes_calls else ""

    async def _first_start(self, store: Store) -> None:
        if not await store.read(count_customers):
            self._note_credentials(await create_first_customer(store, Passwords(), self._keep_credentials))
        await make_first_numbers(store, self._settings.switch.ring_time, self._settings.switch.greeting)

    async def _find_asterisk(self) -> AriEndpoint | None:
        """The Asterisk that the settings ask for, or one of our own; None: without."""
        switch = self._settings.switch
        if not switch.enabled:
            return None
        if switch.asterisk_url:
            return own_asterisk(switch.asterisk_url, switch.asterisk_user, switch.asterisk_password_file)
        if not is_installed(default_root()):
            hint = "no embedded Asterisk here: run `make setup`, or point to your own with --asterisk URL"
            log.warning("switch.missing", hint=hint)
            return None
        self._asterisk = EmbeddedAsterisk(
            self._folder.path / "asterisk",
            default_root(),
            sip_host=switch.sip.host,
            sip_port=switch.sip.port,
            rtp=Rtp(switch.rtp_first, switch.rtp_last, switch.rtp_timeout, switch.rtp_timeout_hold),
        )
        await self._supervisor.add(self._asterisk, restart=True)
        return self._asterisk.endpoint

    async def _take_calls(
        self, asterisk: AriEndpoint | None, store: Store, runner: Runner, lanes: Lanes
    ) -> CallControl:
        lanes.register(Speak, await self._find_speech())
        timers = Timers(store, runner, waits_for)
        if asterisk is None:
            await end_open_calls(store)
            control = NoCalls(runner, lanes, timers, SWITCH_NAME)
            await self._run(runner, lanes, timers)
            return control
        switch = AsteriskSwitch(asterisk, store.now)
        lanes.register(ToSwitch, switch)
        call_settings = CallSettings(max_call_time=self._settings.switch.max_call_time)
        calls = CallService(store, runner, lanes, timers, switch, partial(route_of, store), call_settings)
        await self._run(runner, lanes, timers)
        # The calls are stopped first, while the switch can still be told to end them.
        self._switch = await self._supervisor.add(switch, restart=True)
        await self._supervisor.add(calls)
        if self._asterisk is not None:
            await self._supervisor.add(AsteriskWatch(self._asterisk, lambda: switch.is_connected), restart=True)
        return calls

    async def _find_speech(self) -> SpeechCarrier | NoSpeech:
        """Who speaks: an Asterisk of the operator's own, elsewhere perhaps, could not read what is made here."""
        if self._settings.switch.asterisk_url:
            return NoSpeech()
        cache = SpeechCache(self._folder.path / "speech", self._settings.speech.cache_size)
        cache.open()
        espeak = Espeak(unpacked_folder(SPEECH))
        await self._supervisor.add(Closing("speech", espeak.close))
        return SpeechCarrier(espeak, cache)

    async def _run(self, *services: Service) -> None:
        for service in services:
            await self._supervisor.add(service)


def open_database(settings: Settings, data: Path) -> Database:
    """The database that these settings mean."""
    database = settings.database
    return Database(
        database.url or sqlite_url(data.absolute() / "offhook.db"),
        answer_time=database.answer_time,
        regain_time=database.regain_time,
    )


def profile_of(settings: Settings, credentials: Credentials) -> Profile:
    """How the command line reaches a server with these settings."""
    return Profile(own_url(settings), credentials.access_key)


def own_url(settings: Settings) -> str:
    """How this machine itself reaches a server with these settings."""
    # Listening on all addresses it is on loopback too, and that can be called.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.server.host, settings.server.host)  # noqa: S104
    return f"http://[{host}]:{settings.server.port}" if ":" in host else f"http://{host}:{settings.server.port}"


def _url(settings: Settings) -> str:
    return settings.server.public_url or f"http://{settings.server.host}:{settings.server.port}"


def _network_policy(settings: Settings, asterisk: AriEndpoint | None) -> NetworkPolicy:
    """Loopback destinations are for trying things out: only while nobody else can reach this server."""
    server = settings.server
    is_private = not server.public_url and not server.trusted_proxies
    ari_port = None if asterisk is None else urlsplit(asterisk.url).port
    return NetworkPolicy(
        allow_loopback=server.host in _LOOPBACK and is_private,
        allowed=settings.delivery.allowed_networks,
        own_ports=frozenset({server.port, settings.switch.sip.port, ari_port or 0}),
    )


def _sender(settings: Settings, policy: NetworkPolicy) -> HttpSender:
    return HttpSender(
        policy,
        timeout=settings.delivery.timeout,
        max_connections=settings.delivery.max_in_flight,
    )


def _engine_settings(settings: Settings) -> EngineSettings:
    delivery = settings.delivery
    gaps = delivery.retry_schedule
    return EngineSettings(
        user_agent=_USER_AGENT,
        retry=RetryPolicy(gaps.default, delivery.jitter, gaps.families),
        order_hold=delivery.order_hold,
        slots_per_destination=delivery.slots_per_destination,
        max_in_flight=delivery.max_in_flight,
        disable_after=delivery.disable_after,
        drain_time=delivery.drain_time,
    )


def _throttle_limits(settings: Settings) -> ThrottleLimits:
    return ThrottleLimits(free_failures=settings.limits.failed_log_ins, wrong_keys=settings.limits.wrong_keys)


def _web_settings(settings: Settings) -> WebSettings:
    server, limits = settings.server, settings.limits
    return WebSettings(
        host=server.host,
        port=server.port,
        public_url=server.public_url,
        secure_cookies=server.public_url.startswith("https://"),
        trusted_proxies=server.trusted_proxies,
        max_request_bytes=limits.max_request,
        publish=PublishLimits(max_event_bytes=limits.max_event),
        auth=Rate(limits.auth_per_second, limits.auth_burst),
        per_address=Rate(limits.address_per_second, limits.address_burst),
        per_customer=Rate(limits.customer_per_second, limits.customer_burst),
        publishing=Rate(limits.publish_per_second, limits.publish_per_second),
    )


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry
