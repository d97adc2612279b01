"""What the routes are given: everything they may touch, made by the composition root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry

from offhook.accounts.access_keys import AccessKeys
from offhook.accounts.agents import Agents
from offhook.accounts.authentication import Authenticator
from offhook.accounts.customers import Customers
from offhook.domain.catalogue.call import Call
from offhook.domain.delivery.delivery_log import LoggedAttempt, LoggedDelivery
from offhook.domain.delivery.health import Health
from offhook.domain.events.publication import Publication, PublishLimits
from offhook.domain.events.replay import Replay
from offhook.domain.inputs.call import Control
from offhook.store.store import Store
from offhook.telephony.flows import Flows
from offhook.telephony.numbers import Numbers
from offhook.web.http.origins import OwnOrigins
from offhook.web.http.time_slices import TimeSlices
from offhook.web.limits import Buckets, Rate
from offhook.web.readiness import Readiness


class CallControl(Protocol):
    """What the API asks of the telephony."""

    async def hang_up(self, customer_id: str, call_id: str) -> Call:
        """Hang a call up; the call. Raises NotFoundError, ConflictError, UnavailableError."""
        ...

    async def control(self, customer_id: str, call_id: str, asked: Control) -> None:
        """Turn something of a call's on or off. Raises as `hang_up`."""
        ...

    async def delete(self, customer_id: str, call_id: str) -> Call:
        """Hang a call up if it is not over, and hide it; the call. Raises as `hang_up`."""
        ...


class WebhookTester(Protocol):
    """Sends one sample event now."""

    async def send_test(self, customer_id: str, event_type: str) -> LoggedAttempt:
        """The attempt. Raises ConflictError if the webhook is off, InvalidError (type)."""
        ...


class Delivering(Protocol):
    """Knows how destinations are doing at this moment."""

    def health_of(self, destination_key: int) -> Health | None:
        """A destination's health; None if nothing newer is known than its row says."""
        ...

    def behind(self, delivery: LoggedDelivery) -> int | None:
        """The position of the event of the same subject that it waits for now; None if it waits for no other."""
        ...


class EventLog(Protocol):
    """What the API asks to be done to a customer's log."""

    async def publish(
        self, customer_id: str, publications: Sequence[Publication], idempotency_key: str, digest: bytes
    ) -> list[str]:
        """Add the events, once however often that is asked for; their ids, in order. Raises ConflictError."""
        ...

    async def resend(self, customer_id: str, event_id: str) -> list[LoggedDelivery]:
        """Send one event again now; its deliveries. Raises NotFoundError, ConflictError."""
        ...

    async def replay(self, customer_id: str, wanted: Replay) -> int:
        """Send the wanted events again; how many. Raises NotFoundError, ConflictError."""
        ...

    async def erase(self, customer_id: str, subject: str) -> int:
        """Erase a subject's payloads for good; how many. Raises NotFoundError."""
        ...


class WebSettings(msgspec.Struct, frozen=True):
    """What an operator may change. `trusted_proxies` are addresses whose X-Forwarded-… headers are believed.

    `host` and `port` are where the server listens; with `public_url` they say which origins are its own.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""
    secure_cookies: bool = False
    trusted_proxies: tuple[str, ...] = ()
    max_request_bytes: int = 16 * 1024 * 1024
    publish: PublishLimits = PublishLimits()
    auth: Rate = Rate(10, 20)
    per_address: Rate = Rate(200, 400)
    per_customer: Rate = Rate(200, 400)
    publishing: Rate = Rate(0, 0)


class Services:
    """Handed to every route."""

    def __init__(
        self,
        *,
        settings: WebSettings,
        store: Store,
        customers: Customers,
        agents: Agents,
        access_keys: AccessKeys,
        authenticator: Authenticator,
        tester: WebhookTester,
        delivering: Delivering,
        log: EventLog,
        calls: CallControl,
        flows: Flows,
        numbers: Numbers,
        readiness: Readiness,
        registry: CollectorRegistry,
    ) -> None:
        self.settings = settings
        self.store = store
        self.customers = customers
        self.agents = agents
        self.access_keys = access_keys
        self.authenticator = authenticator
        self.tester = tester
        self.delivering = delivering
        self.log = log
        self.calls = calls
        self.flows = flows
        self.numbers = numbers
        self.readiness = readiness
        self.registry = registry
        self.origins = OwnOrigins(
            host=settings.host,
            port=settings.port,
            public_url=settings.public_url,
            trusted_proxies=settings.trusted_proxies,
        )
        self.time_slices = TimeSlices()
        self.auth_buckets = Buckets(settings.auth, "ip")
        self.address_buckets = Buckets(settings.per_address, "ip")
        self.customer_buckets = Buckets(settings.per_customer, "customer")
        self.publish_buckets = Buckets(settings.publishing, "customer")
