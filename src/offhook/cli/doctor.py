"""`offhook doctor`: what stands in the way, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path

import click
import msgspec

from offhook.cli.remote.server import Server, show_json
from offhook.domain.errors import OffhookError
from offhook.node.unpacked import unpacked_folder
from offhook.settings.areas import Settings
from offhook.settings.loading import load_settings
from offhook.speech.installation import SPEECH, is_installed

_MIN_FREE = 1024**3
_MAX_SKEW_S = 30
# Rows that are named; more than that are one fault.
_MAX_ROWS = 20
_PROBES = ("https://example.com/", "https://example.org/")


class Finding(msgspec.Struct, frozen=True):
    """One check: `advice` says what to do, and is empty for what is well.

    A `warning` is no fault: what could not be checked, or could be better. Offhook works all the same.
    """

    check: str
    good: bool
    message: str
    advice: str = ""
    warning: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return not (self.good or self.warning)


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    envvar="OFFHOOK_DATA",
    help="The server's data folder.",
)
@click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="Settings file (TOML).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(data: Path, config_file: Path | None, as_json: bool) -> None:
    """Check database, rows, Asterisk, speech, clock, ports, disk, network and Python, and say what to do.

    Exit code 1 if something is wrong; a warning (what cannot be checked, or could be better) is no fault.
    """
    findings = list(_examine(data, config_file))
    if as_json:
        show_json(findings)
    else:
        for finding in findings:
            click.echo(f"{_mark(finding)} {finding.check:<10} {finding.message}")
            if finding.advice:
                click.echo(f"     {'':<10} → {finding.advice}")
    sys.exit(1 if any(finding.is_fault for finding in findings) else 0)


def _mark(finding: Finding) -> str:
    if finding.good:
        return click.style("ok  ", fg="green")
    return click.style("warn", fg="yellow") if finding.warning else click.style("FAIL", fg="red", bold=True)


def _examine(data: Path, config_file: Path | None) -> Iterator[Finding]:
    try:
        settings = load_settings(data=data, config=config_file, environ=os.environ, flags={})
    except OffhookError as error:
        yield Finding("settings", False, error.message, "Correct it; docs/reference/settings.md lists all settings.")
        return
    yield Finding("settings", True, "all settings are well formed")
    running = _server(data)
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: running,
        lambda: _database(settings, data),
        lambda: _rows(settings, data),
        lambda: _disk(data),
        lambda: _asterisk(settings),
        _speech,
        lambda: _port(settings, running),
        _interpreter,
    )
    for check in checks:
        yield check()
    yield from _outside()


def _server(data: Path) -> Finding:
    try:
        server = Server.found(data)
        server.ask("GET", "/readyz")
    except OffhookError as error:
        # Not running is no fault; running and not ready is one.
        not_running = error.reason in ("SERVICE_UNAVAILABLE", "MISCONFIGURED") and "Not ready" not in error.message
        advice = "" if not_running else "Look into the server's log; it becomes ready by itself once Asterisk answers."
        return Finding("server", not_running, f"not running: {error.message}" if not_running else error.message, advice)
    return Finding("server", True, f"{server.url} is ready")


def _database(settings: Settings, data: Path) -> Finding:
    url = settings.database.url
    if not url:
        return _sqlite(data / "offhook.db")
    # Slow to import, and needed for PostgreSQL only.
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
        with engine.connect() as connection:
            version = connection.exec_driver_sql("SHOW server_version").scalar()
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        return Finding("database", False, f"PostgreSQL does not answer: {reason}", "Check database.url and the server.")
    return Finding("database", True, f"PostgreSQL {version} answers")


def _sqlite(file: Path) -> Finding:
    if not file.exists():
        return Finding("database", True, f"{file} will be made at the first start")
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("database", False, f"{file}: {error}", "Check its permissions, or restore a backup.")
    if result != "ok":
        return Finding("database", False, f"{file} is damaged: {result}", "Restore a backup of the data folder.")
    return Finding("database", True, f"{file} is sound ({file.stat().st_size // 1024**2} MiB)")


def _rows(settings: Settings, data: Path) -> Finding:
    """Rows that this version cannot read: it goes on without them."""
    if not (settings.database.url or (data / "offhook.db").exists()):
        return Finding("rows", True, "there are none yet")
    import sqlalchemy as sa

    from offhook.app import open_database
    from offhook.store.commit.rows import Tables
    from offhook.telephony.nouns import COMMAND_TYPE, NOUNS

    database = open_database(settings, data)
    try:
        with database.reader.begin() as connection:
            found = list(islice(Tables(NOUNS, COMMAND_TYPE).unreadable(connection), _MAX_ROWS + 1))
    except (sa.exc.SQLAlchemyError, OffhookError) as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        return Finding("rows", False, f"they cannot be looked at: {reason}", "See what is said of the database.")
    finally:
        database.close()
    if not found:
        return Finding("rows", True, "all can be read")
    shown = "; ".join(f"{row.kind} {row.id}: {row.reason}" for row in found[:_MAX_ROWS])
    more = " and more" if len(found) > _MAX_ROWS else ""
    advice = "They are left out of everything. Install the version that wrote them, or restore a backup."
    return Finding("rows", False, f"cannot be read: {shown}{more}", advice)


def _disk(data: Path) -> Finding:
    folder = next(parent for parent in (data.absolute(), *data.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE:
        advice = "Make room: with a full disk nothing new can be accepted."
        return Finding("disk", False, f"{free // 1024**2} MiB free at {folder}", advice)
    if not os.access(folder, os.W_OK):
        return Finding("disk", False, f"{folder} cannot be written", "Choose another folder with --data.")
    return Finding("disk", True, f"{free // 1024**3} GiB free at {folder}")


def _asterisk(settings: Settings) -> Finding:
    if not settings.switch.enabled:
        return Finding("asterisk", True, "switched off by switch.enabled")
    url = settings.switch.asterisk_url
    if url:
        return _reachable("asterisk", url, "Check switch.asterisk_url, and that its http.conf and ari.conf allow us.")
    if not (unpacked_folder("asterisk") / "usr/sbin/asterisk").exists():
        return Finding("asterisk", False, "no embedded Asterisk", "Run `make setup`, or set switch.asterisk_url.")
    return Finding("asterisk", True, "the embedded Asterisk is there")


def _speech() -> Finding:
    if is_installed(unpacked_folder(SPEECH)):
        return Finding("speech", True, "espeak-ng is there")
    advice = "Run `make setup`. Until then the action talk fails; everything else works."
    return Finding("speech", False, "no espeak-ng", advice, warning=True)


def _port(settings: Settings, running: Finding) -> Finding:
    host, port = settings.server.host, settings.server.port
    if running.good and running.message.endswith("is ready"):
        return Finding("ports", True, "the server has its ports")
    for kind, where, name in (
        (socket.SOCK_STREAM, (host, port), "server.port"),
        (socket.SOCK_DGRAM, settings.switch.sip, "switch.sip"),
    ):
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
            try:
                probe.bind(where)
            except OSError as error:
                message = f"{where[0]}:{where[1]} ({name}) cannot be used: {error.strerror}"
                return Finding("ports", False, message, f"Stop what uses it, or choose another {name}.")
    return Finding("ports", True, f"{host}:{port} and the SIP port are free")


def _interpreter() -> Finding:
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return interpreter_finding(sys.base_prefix, arguments, is_debug=bool(sysconfig.get_config_var("Py_DEBUG")))


def interpreter_finding(prefix: str, arguments: str, *, is_debug: bool) -> Finding:
    """What is to be said of an interpreter that is installed in `prefix` and was configured with `arguments`.

    A distribution's is built with profiles too, though its arguments do not say so.
    """
    name = f"Python {platform.python_version()} in {prefix}"
    is_optimised = prefix == "/usr" or "--enable-optimizations" in arguments
    if is_optimised and not is_debug:
        return Finding("python", True, name)
    how = "with debugging" if is_debug else "without optimisation"
    advice = (
        "Offhook takes 2 to 19 % more CPU with it. Remove .venv, and `make setup` takes the distribution's Python "
        "if it is 3.11 or newer; or build yours with --enable-optimizations."
    )
    return Finding("python", False, f"{name} was built {how}", advice, warning=True)


def _outside() -> Iterator[Finding]:
    """Outbound reachability, and the clock against the outside's."""
    for url in _PROBES:
        try:
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                date = answer.headers.get("Date", "")
        except urllib.error.HTTPError as error:
            date = error.headers.get("Date", "")
        except (urllib.error.URLError, OSError):
            continue
        yield Finding("network", True, "the outside can be reached")
        yield _clock(date)
        return
    advice = "Webhooks to the internet will fail: check DNS, firewall and proxy. Local receivers work all the same."
    yield Finding("network", False, "no outside server can be reached", advice, warning=True)
    yield _unchecked_clock()


def _clock(date: str) -> Finding:
    try:
        skew = abs(time.time() - parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError):
        return _unchecked_clock()
    if skew > _MAX_SKEW_S:
        advice = "Set the clock (NTP): receivers refuse webhooks whose timestamp is off."
        return Finding("clock", False, f"the clock is {skew:.0f} s off", advice)
    return Finding("clock", True, "the clock agrees with the outside's")


def _unchecked_clock() -> Finding:
    advice = "Make sure that it is set (NTP): receivers refuse webhooks whose timestamp is off."
    return Finding("clock", False, "nobody tells the time here: the clock cannot be checked", advice, warning=True)


def _reachable(check: str, url: str, advice: str) -> Finding:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310
            pass
    except urllib.error.HTTPError:
        pass
    except (urllib.error.URLError, OSError, ValueError) as error:
        return Finding(check, False, f"{url} does not answer: {getattr(error, 'reason', error)}", advice)
    return Finding(check, True, f"{url} answers")
