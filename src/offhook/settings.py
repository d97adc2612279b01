"""Settings: one declaration each, five places to set them, and nothing guessed.

A value comes from the default, then the TOML file, then the environment, then a flag; the later one wins. Every
setting is declared once, below: its kind, default, range and help. A key that nobody declared refuses to start and
suggests the nearest one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from offhook.domain.errors import MisconfiguredError
from offhook.domain.networks import parse_network
from offhook.domain.retry import DEFAULT_SCHEDULE
from offhook.quantities import duration, duration_text, host_port, size, truth

_ENVIRONMENT = "OFFHOOK_"
_SEPARATOR = "__"
# Environment variables of the command line, which are no settings.
_NO_SETTINGS = ("OFFHOOK_URL", "OFFHOOK_TOKEN", "OFFHOOK_DATA")


class Setting(msgspec.Struct, frozen=True):
    """One declaration. `read` makes the value of a text and raises ValueError with the reason."""

    name: str
    kind: str
    default: str
    read: Callable[[str], Any]
    help: str
    by_family: bool = False


class Given(msgspec.Struct, frozen=True):
    """A value and where it came from. `text` is how a person would write it."""

    value: Any
    text: str
    source: str


class Settings:
    """All settings with their values: `settings["delivery.timeout"]`."""

    def __init__(self, given: Mapping[str, Given]) -> None:
        self.given = dict(given)

    def __getitem__(self, name: str) -> Any:
        return self.given[name].value

    def by_family(self, name: str) -> dict[str, Any]:
        """The values of `name` that were given for one family of events, by family."""
        start = name + "."
        return {key.removeprefix(start): given.value for key, given in self.given.items() if key.startswith(start)}


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return value

    return read


def _span(low: str, high: str) -> Callable[[str], timedelta]:
    def read(text: str) -> timedelta:
        value = duration(text)
        if not duration(low) <= value <= duration(high):
            raise ValueError(f"must be from {low} to {high}")
        return value

    return read


def _bytes(low: str, high: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = size(text)
        if not size(low) <= value <= size(high):
            raise ValueError(f"must be from {low} to {high}")
        return value

    return read


def _list_of(read_one: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str) -> tuple[Any, ...]:
        return tuple(read_one(part.strip()) for part in text.split(",") if part.strip())

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return read


def _schedule(text: str) -> tuple[timedelta, ...]:
    gaps: tuple[timedelta, ...] = _list_of(_span("10ms", "30d"))(text)
    if len(gaps) > 50:
        raise ValueError("must have at most 50 entries")
    return gaps


DECLARATIONS = (
    Setting("server.host", "address", "127.0.0.1", str, "Where the API listens."),
    Setting("server.port", "port", "8080", _whole(1, 65535), "The API's TCP port."),
    Setting(
        "server.public_url",
        "URL",
        "",
        str,
        "How others reach the API. With it set, webhooks to loopback addresses are refused.",
    ),
    Setting(
        "server.trusted_proxies",
        "list of addresses",
        "",
        _list_of(str),
        "Proxies whose X-Forwarded-For, -Host and -Proto are believed. With one set, webhooks to loopback addresses "
        "are refused.",
    ),
    Setting("database.url", "URL", "", str, "postgresql://… for PostgreSQL; empty: SQLite in the data folder."),
    Setting(
        "delivery.timeout",
        "duration",
        "5s",
        _span("100ms", "60s"),
        "From the start of an attempt to the end of the response head.",
    ),
    Setting(
        "delivery.retry_schedule",
        "list of durations",
        ",".join(duration_text(gap) for gap in DEFAULT_SCHEDULE),
        _schedule,
        "The gaps between attempts; after the last one the delivery is exhausted.",
        by_family=True,
    ),
    Setting("delivery.jitter", "share", "0.2", _number(0, 1), "How far a gap may be off, either way."),
    Setting(
        "delivery.order_hold",
        "duration",
        "30s",
        _span("0s", "1d"),
        "How long a failing event holds later ones of its subject; 0s: no order.",
    ),
    Setting("delivery.slots_per_destination", "count", "32", _whole(1, 1000), "Attempts at once to one destination."),
    Setting("delivery.max_in_flight", "count", "2048", _whole(1, 100_000), "Attempts at once to all destinations."),
    Setting(
        "delivery.disable_after",
        "duration",
        "5d",
        _span("1m", "365d"),
        "A destination without a single success for that long is disabled.",
    ),
    Setting(
        "delivery.drain_time", "duration", "5s", _span("0s", "5m"), "How long a stop waits for attempts under way."
    ),
    Setting(
        "delivery.allowed_networks",
        "list of networks",
        "",
        _list_of(parse_network),
        "Networks that webhooks may go to although they are not public, such as 10.1.0.0/16.",
    ),
    Setting("limits.auth_per_second", "rate", "10", _number(0, 1e6), "Log ins per address; 0: any."),
    Setting("limits.auth_burst", "count", "20", _number(1, 1e6), "Log ins at once."),
    Setting(
        "limits.failed_log_ins",
        "count",
        "5",
        _whole(0, 1_000_000),
        "Failed log ins in a row that cost nothing, per username and address; then a wait of 1s, doubling to 60s. "
        "Whatever the address, 100 an hour per username are followed by waits of 60s. 0: any.",
    ),
    Setting(
        "limits.wrong_keys",
        "count",
        "20",
        _whole(0, 1_000_000),
        "Wrong tokens and access keys per address and minute; then none that is unknown is looked up. 0: any.",
    ),
    Setting("limits.address_per_second", "rate", "200", _number(0, 1e6), "Requests per address; 0: any."),
    Setting("limits.address_burst", "count", "400", _number(1, 1e6), "Requests at once per address."),
    Setting("limits.customer_per_second", "rate", "200", _number(0, 1e6), "Requests per customer; 0: any."),
    Setting("limits.customer_burst", "count", "400", _number(1, 1e6), "Requests at once per customer."),
    Setting("limits.publish_per_second", "rate", "0", _number(0, 1e7), "Events published per customer; 0: any."),
    Setting(
        "limits.max_event",
        "size",
        "256KiB",
        _bytes("1KiB", "16MiB"),
        "The largest event. Much more than this holds others up while one is read.",
    ),
    Setting("limits.max_request", "size", "16MiB", _bytes("64KiB", "256MiB"), "The largest request."),
    Setting(
        "retention.events",
        "duration",
        "30d",
        _span("1m", "3650d"),
        "How long events, payloads and attempts are kept. What is pending is kept longer.",
        by_family=True,
    ),
    Setting("switch.enabled", "truth", "true", truth, "Whether there is a phone system."),
    Setting("switch.sip", "host:port", "127.0.0.1:5060", host_port, "Where the embedded Asterisk takes SIP calls."),
    Setting("switch.rtp_first", "port", "20000", _whole(1024, 65000), "The first UDP port for voice."),
    Setting("switch.rtp_last", "port", "20999", _whole(1024, 65535), "The last UDP port for voice."),
    Setting("switch.ring_time", "duration", "2s", _span("0s", "2m"), "How long an incoming call rings."),
    Setting("switch.greeting", "sound", "hello-world", str, "What a caller hears first: a sound of Asterisk's."),
    Setting("switch.asterisk_url", "URL", "", str, "ARI of an Asterisk of your own, such as http://10.0.0.5:8088/ari."),
    Setting("switch.asterisk_user", "text", "", str, "Its ARI user."),
    Setting("switch.asterisk_password_file", "path", "", str, "A file with that user's password."),
    Setting("auth.token_lifetime", "duration", "7d", _span("1m", "365d"), "How long a log in lasts."),
    Setting("log.level", "level", "info", _one_of("debug", "info", "warning", "error"), "What is logged."),
    Setting(
        "log.format", "format", "auto", _one_of("auto", "console", "json"), "auto: console on a terminal, else json."
    ),
)
_BY_NAME = {setting.name: setting for setting in DECLARATIONS}


def load_settings(*, data: Path, config: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """All settings. `config` defaults to `<data>/offhook.toml`, which need not be there.

    Raises MisconfiguredError naming the key, its value, where it came from, and what it may be.
    """
    given = {setting.name: _given(setting, setting.default, "default") for setting in DECLARATIONS}
    file = config or data / "offhook.toml"
    for source, texts in (
        (str(file), _from_file(file, required=config is not None)),
        ("environment", _from_environment(environ)),
        ("flag", dict(flags)),
    ):
        for key, text in texts.items():
            given[key] = _given(_setting_of(key, source), text, source, key)
    _check_together(given)
    return Settings(given)


def reference_page() -> str:
    """The page `docs/reference/settings.md`."""
    rows = []
    for setting in DECLARATIONS:
        family = " May be set per event family: `" + setting.name + ".call`." if setting.by_family else ""
        variable = _ENVIRONMENT + setting.name.replace(".", _SEPARATOR).upper()
        default = f"`{setting.default}`" if setting.default else "empty"
        rows.append(f"| `{setting.name}` | {setting.kind} | {default} | `{variable}` | {setting.help}{family} |")
    return (
        "# Settings\n\n"
        "<!-- Generated by `make docs` from src/offhook/settings.py. -->\n\n"
        "A value comes from the default, then `offhook.toml` in the data folder (or `--config FILE`), then the "
        "environment, then a flag. `offhook config show` tells each value and where it came from.\n\n"
        "Durations are `500ms`, `5s`, `2m`, `1h`, `30d`; sizes `256KiB`, `16MiB`; lists are separated by commas.\n\n"
        "| name | kind | default | environment | what it does |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _given(setting: Setting, text: str, source: str, key: str = "") -> Given:
    try:
        return Given(setting.read(text), text, source)
    except (ValueError, OverflowError) as error:
        raise MisconfiguredError(
            f"The setting {key or setting.name} ({source}) is {text!r}, which is no {setting.kind}: {error}.",
            field=key or setting.name,
        ) from None


def _setting_of(key: str, source: str) -> Setting:
    setting = _BY_NAME.get(key)
    if setting is None:
        parent = _BY_NAME.get(key.rpartition(".")[0])
        if parent is not None and parent.by_family:
            return parent
        near = difflib.get_close_matches(key, _BY_NAME, n=1, cutoff=0.0)
        raise MisconfiguredError(
            f"There is no setting {key} ({source}). Did you mean {near[0]}? docs/reference/settings.md lists them.",
            field=key,
        )
    return setting


def _from_file(file: Path, *, required: bool) -> dict[str, str]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise MisconfiguredError(f"There is no file {file}. Check --config.", field="config") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MisconfiguredError(f"{file} cannot be read: {error}.", field="config") from None
    return dict(_flat(content, ""))


def _flat(table: Mapping[str, Any], start: str) -> list[tuple[str, str]]:
    """`[delivery] timeout = "5s"` is delivery.timeout; a table below a setting is by family, `default` its own."""
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        key = f"{start}{name}"
        if isinstance(value, dict):
            found += _flat(value, f"{key}.")
        else:
            found.append((key.removesuffix(".default"), _text(value)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(_text(item) for item in value) if isinstance(value, list) else str(value)


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(_ENVIRONMENT).lower().replace(_SEPARATOR, "."): text
        for name, text in environ.items()
        if name.startswith(_ENVIRONMENT) and _SEPARATOR in name and name not in _NO_SETTINGS
    }


def _check_together(given: Mapping[str, Given]) -> None:
    first, last = given["switch.rtp_first"].value, given["switch.rtp_last"].value
    if last <= first:
        raise MisconfiguredError("switch.rtp_last must be larger than switch.rtp_first.", field="switch.rtp_last")
    if given["switch.asterisk_url"].value and not given["switch.asterisk_user"].value:
        raise MisconfiguredError(
            "switch.asterisk_url needs switch.asterisk_user and switch.asterisk_password_file.",
            field="switch.asterisk_user",
        )
