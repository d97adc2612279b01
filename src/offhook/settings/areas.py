"""Every setting, declared once: type, kind, default, range and help. `delivery.timeout` is `DeliveryArea.timeout`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

import msgspec

from offhook.domain.delivery.networks import parse_network
from offhook.domain.delivery.retry import DEFAULT_SCHEDULE
from offhook.quantities import HostPort, duration_text, host_port, truth
from offhook.settings.declaration import (
    ByFamily,
    Declared,
    byte_count,
    list_of,
    not_empty,
    number,
    one_of,
    schedule,
    span,
    url_or_nothing,
    whole,
)

_SIP_HELP = (
    "Where the embedded Asterisk takes SIP calls. On loopback: over UDP, from this machine, without a password. "
    "Elsewhere: over UDP and TCP, from accounts only."
)
_SCHEDULE = ",".join(duration_text(gap) for gap in DEFAULT_SCHEDULE)


class ServerArea(msgspec.Struct, frozen=True):
    """Where the API listens, and how others reach it."""

    host: Annotated[str, Declared("address", "127.0.0.1", not_empty, "Where the API listens.")]
    port: Annotated[int, Declared("port", "8080", whole(1, 65535), "The API's TCP port.")]
    public_url: Annotated[
        str,
        Declared(
            "URL",
            "",
            url_or_nothing,
            "How others reach the API. With it set, webhooks to loopback addresses are refused.",
        ),
    ]
    trusted_proxies: Annotated[
        tuple[str, ...],
        Declared(
            "list of addresses",
            "",
            list_of(str),
            "Proxies whose X-Forwarded-For, -Host and -Proto are believed. With one set, webhooks to loopback "
            "addresses are refused.",
        ),
    ]


class DatabaseArea(msgspec.Struct, frozen=True):
    """Where everything is kept."""

    url: Annotated[str, Declared("URL", "", str, "postgresql://… for PostgreSQL; empty: SQLite in the data folder.")]
    answer_time: Annotated[
        timedelta,
        Declared(
            "duration",
            "5s",
            span("1s", "1m"),
            "How long PostgreSQL may take over one statement. One that does not answer is lost a second later.",
        ),
    ]
    regain_time: Annotated[
        timedelta,
        Declared(
            "duration",
            "60s",
            span("0s", "1h"),
            "How long a server that lost PostgreSQL tries to get it back before it ends with exit code 1.",
        ),
    ]


class DeliveryArea(msgspec.Struct, frozen=True):
    """How events are sent."""

    timeout: Annotated[
        timedelta,
        Declared(
            "duration", "5s", span("100ms", "60s"), "From the start of an attempt to the end of the response head."
        ),
    ]
    retry_schedule: Annotated[
        ByFamily[tuple[timedelta, ...]],
        Declared(
            "list of durations",
            _SCHEDULE,
            schedule,
            "The gaps between attempts; after the last one the delivery is exhausted.",
            by_family=True,
        ),
    ]
    jitter: Annotated[float, Declared("share", "0.2", number(0, 1), "How far a gap may be off, either way.")]
    order_hold: Annotated[
        timedelta,
        Declared(
            "duration",
            "60s",
            span("0s", "1d"),
            "How long a failing event holds later ones of its subject; 0s: no order.",
        ),
    ]
    slots_per_destination: Annotated[
        int, Declared("count", "32", whole(1, 1000), "Attempts at once to one destination.")
    ]
    max_in_flight: Annotated[int, Declared("count", "2048", whole(1, 100_000), "Attempts at once to all destinations.")]
    disable_after: Annotated[
        timedelta,
        Declared(
            "duration", "5d", span("1m", "365d"), "A destination without a single success for that long is disabled."
        ),
    ]
    drain_time: Annotated[
        timedelta,
        Declared("duration", "5s", span("0s", "5m"), "How long a stop waits for attempts under way."),
    ]
    allowed_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Declared(
            "list of networks",
            "",
            list_of(parse_network),
            "Networks that webhooks may go to although they are not public, such as 10.1.0.0/16.",
        ),
    ]


class LimitsArea(msgspec.Struct, frozen=True):
    """How much one caller may ask."""

    auth_per_second: Annotated[float, Declared("rate", "10", number(0, 1e6), "Log ins per address; 0: any.")]
    auth_burst: Annotated[float, Declared("count", "20", number(1, 1e6), "Log ins at once.")]
    failed_log_ins: Annotated[
        int,
        Declared(
            "count",
            "5",
            whole(0, 1_000_000),
            "Failed log ins in a row that cost nothing, per username and address; then a wait of 1s, doubling to 60s. "
            "Whatever the address, 100 an hour per username are followed by waits of 60s. 0: any.",
        ),
    ]
    wrong_keys: Annotated[
        int,
        Declared(
            "count",
            "20",
            whole(0, 1_000_000),
            "Wrong tokens and access keys per address and minute; then none that is unknown is looked up. 0: any.",
        ),
    ]
    address_per_second: Annotated[float, Declared("rate", "200", number(0, 1e6), "Requests per address; 0: any.")]
    address_burst: Annotated[float, Declared("count", "400", number(1, 1e6), "Requests at once per address.")]
    customer_per_second: Annotated[float, Declared("rate", "200", number(0, 1e6), "Requests per customer; 0: any.")]
    customer_burst: Annotated[float, Declared("count", "400", number(1, 1e6), "Requests at once per customer.")]
    publish_per_second: Annotated[
        float, Declared("rate", "0", number(0, 1e7), "Events published per customer; 0: any.")
    ]
    max_event: Annotated[
        int,
        Declared(
            "size",
            "256KiB",
            byte_count("1KiB", "16MiB"),
            "The largest event. Much more than this holds others up while one is read.",
        ),
    ]
    max_request: Annotated[int, Declared("size", "16MiB", byte_count("64KiB", "256MiB"), "The largest request.")]


class RetentionArea(msgspec.Struct, frozen=True):
    """How long things are kept."""

    events: Annotated[
        ByFamily[timedelta],
        Declared(
            "duration",
            "30d",
            span("1m", "3650d"),
            "How long events, payloads and attempts are kept. What is pending is kept longer.",
            by_family=True,
        ),
    ]


class SwitchArea(msgspec.Struct, frozen=True):
    """The phone system: the embedded Asterisk, or one of the operator's."""

    enabled: Annotated[bool, Declared("truth", "true", truth, "Whether there is a phone system.")]
    sip: Annotated[HostPort, Declared("host:port", "127.0.0.1:5060", host_port, _SIP_HELP)]
    rtp_first: Annotated[int, Declared("port", "20000", whole(1024, 65000), "The first UDP port for voice.")]
    rtp_last: Annotated[
        int, Declared("port", "29999", whole(1024, 65535), "The last UDP port for voice; a call takes two.")
    ]
    rtp_timeout: Annotated[
        timedelta,
        Declared(
            "duration",
            "60s",
            span("0s", "1d"),
            "A phone that sends no voice for that long, or has sent none since the answer, is taken for gone: its call "
            "ends; 0s: never.",
        ),
    ]
    rtp_timeout_hold: Annotated[
        timedelta,
        Declared("duration", "15m", span("0s", "1d"), "The same while the phone has put the call on hold; 0s: never."),
    ]
    max_call_time: Annotated[
        timedelta,
        Declared("duration", "1h", span("1s", "7d"), "How long a call may last, from its very beginning."),
    ]
    ring_time: Annotated[timedelta, Declared("duration", "2s", span("0s", "2m"), "Retired: the flow Greeting says it.")]
    greeting: Annotated[str, Declared("sound", "hello-world", str, "Retired: the flow Greeting says it.")]
    asterisk_url: Annotated[
        str, Declared("URL", "", url_or_nothing, "ARI of an Asterisk of your own, such as http://10.0.0.5:8088/ari.")
    ]
    asterisk_user: Annotated[str, Declared("text", "", str, "Its ARI user.")]
    asterisk_password_file: Annotated[str, Declared("path", "", str, "A file with that user's password.")]


class SpeechArea(msgspec.Struct, frozen=True):
    """What is spoken to callers."""

    cache_size: Annotated[
        int,
        Declared(
            "size",
            "256MiB",
            byte_count("32MiB", "100GiB"),
            "How much of the data folder what was spoken before may take; the least recently used goes first. 1 MiB is "
            "about a minute.",
        ),
    ]


class AuthArea(msgspec.Struct, frozen=True):
    """Logging in."""

    token_lifetime: Annotated[timedelta, Declared("duration", "7d", span("1m", "365d"), "How long a log in lasts.")]


class LogArea(msgspec.Struct, frozen=True):
    """What is logged, and how."""

    level: Annotated[
        str,
        Declared(
            "level",
            "auto",
            one_of("auto", "debug", "info", "warning", "error"),
            "auto: a short line for each call and each warning on a terminal, else info.",
        ),
    ]
    format: Annotated[
        str,
        Declared("format", "auto", one_of("auto", "console", "json"), "auto: console on a terminal, else json."),
    ]


_RETIRED = ("switch.ring_time", "switch.greeting")


class Given(msgspec.Struct, frozen=True):
    """How a setting was written, and where."""

    text: str
    source: str


class Settings(msgspec.Struct, frozen=True):
    """All settings, by area. `given` says of each name, `delivery.timeout`, how it was written, and where."""

    server: ServerArea
    database: DatabaseArea
    delivery: DeliveryArea
    limits: LimitsArea
    retention: RetentionArea
    switch: SwitchArea
    speech: SpeechArea
    auth: AuthArea
    log: LogArea
    given: Mapping[str, Given]

    @property
    def retired(self) -> list[str]:
        """Those that were given and mean nothing any more; the next release will refuse them."""
        return [name for name in _RETIRED if self.given[name].source != "default"]
