"""`offhook customer`: the profile and the webhook."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from offhook.cli.remote.server import Server, remote, show_fields, show_json
from offhook.cli.showing.stats import show_stats
from offhook.cli.showing.terminal import plain, show_attempt
from offhook.domain.delivery.outcome import Outcome

_SET = (
    "What to try next:\n"
    "  offhook customer test     sends one sample event, and says what came of it\n"
    "  offhook trigger call      publishes the events of a whole call\n"
    "  offhook deliveries list   shows what was sent, and what was answered"
)
_OFF = (
    "The webhook is off: events are kept, and go nowhere. What to try next:\n"
    "  offhook customer set --webhook-uri http://127.0.0.1:5000/hook\n"
    "  offhook events tail       shows events as they happen"
)


@click.group()
def customer() -> None:
    """Your profile and webhook."""


@customer.command("show")
@remote
def show(data: Path, as_json: bool) -> None:
    """The profile, with the webhook and its secret."""
    _print(Server.found(data).ask("GET", "/v1.0/customer"), as_json=as_json)


@customer.command("set")
@click.option("--webhook-uri", metavar="URL", help="Where events go; '' switches webhooks off.")
@click.option("--webhook-method", type=click.Choice(["POST", "PUT", "GET", "DELETE", ""]), help="How they are sent.")
@click.option("--name")
@click.option("--detail")
@click.option("--email")
@click.option("--phone-number")
@click.option("--address")
@remote
def change(data: Path, as_json: bool, **fields: str | None) -> None:
    """Change what is given, and nothing else."""
    body = {name: value for name, value in fields.items() if value is not None}
    if not body:
        raise click.UsageError("Say what to change, for example --webhook-uri https://example.com/hook.")
    changed = Server.found(data).ask("PUT", "/v1.0/customer", body)
    _print(changed, as_json=as_json)
    if not as_json:
        click.echo(f"\n{_SET if changed['webhook_uri'] else _OFF}")


@customer.command("test")
@click.option("--type", "event_type", default="call_hungup", show_default=True, help="Which sample event.")
@remote
def send_test(data: Path, as_json: bool, event_type: str) -> None:
    """Send one signed sample event to the webhook now, and say what came of it.

    Exit code 1 if it was not taken.
    """
    attempt = Server.found(data).ask("POST", "/v1.0/customer/webhook_test", {"type": event_type})
    has_failed = attempt["outcome"] != Outcome.SUCCEEDED
    if as_json:
        show_json(attempt)
    else:
        click.echo(f"Sent a sample {event_type} to {plain(attempt['uri'])}")
        show_attempt(attempt, with_advice=has_failed)
    sys.exit(1 if has_failed else 0)


@customer.command("stats")
@click.option("--hours", type=click.IntRange(1, 35 * 24), default=24, show_default=True, help="Of how long.")
@remote
def stats(data: Path, as_json: bool, hours: int) -> None:
    """How the webhook is doing: its state, what was delivered and how fast, and what failed."""
    numbers = Server.found(data).ask("GET", "/v1.0/webhook_stats", query={"seconds": str(hours * 3_600)})
    if as_json:
        show_json(numbers)
    else:
        show_stats(numbers, datetime.now(UTC))


@customer.command("enable")
@remote
def enable(data: Path, as_json: bool) -> None:
    """Use a disabled webhook again; held events are sent."""
    _print(Server.found(data).ask("POST", "/v1.0/customer/webhook_enable"), as_json=as_json)


@customer.command("secret")
@remote
def secret(data: Path, as_json: bool) -> None:
    """The webhook secret and nothing else, for WEBHOOK_SECRET=$(offhook customer secret)."""
    found = Server.found(data).ask("GET", "/v1.0/customer")["webhook_secret"]
    if as_json:
        show_json({"webhook_secret": found})
    else:
        click.echo(found)


@customer.command("rotate-secret")
@remote
def rotate(data: Path, as_json: bool) -> None:
    """Make a new webhook secret; the old one signs beside it for 24 hours."""
    _print(Server.found(data).ask("POST", "/v1.0/customer/webhook_secret/rotate"), as_json=as_json)


def _print(value: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(value)
        return
    warnings = value.pop("warnings", [])
    show_fields(value)
    for warning in warnings:
        click.echo(f"Note: {warning}", err=True)
