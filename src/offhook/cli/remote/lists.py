"""`offhook deliveries` and `offhook calls`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from offhook.cli.remote.events import find_event
from offhook.cli.remote.server import Server, remote, show_fields, show_json
from offhook.cli.showing.terminal import local_time, plain, show_block, show_delivery

_MAX_PAGE = 100
# One answer looks at 10,000 deliveries at most.
_MAX_QUESTIONS = 20
LIMIT = click.IntRange(1, 10_000)


@click.group()
def deliveries() -> None:
    """What was sent where, and what came of it."""


@deliveries.command("list")
@click.option("--status", type=click.Choice(["pending", "held", "succeeded", "exhausted", "cancelled"]))
@click.option("--type", "event_type", help="Only this type.")
@click.option("--subject", help="Only this subject, such as call/<uuid>.")
@click.option("--event", "event_id", metavar="ID|POSITION", help="Only of this event.")
@click.option("--limit", type=LIMIT, default=20, show_default=True)
@click.option("--page-token", default="", help="Where a list before ended: it says so.")
@remote
def list_deliveries(
    data: Path,
    as_json: bool,
    status: str | None,
    event_type: str | None,
    subject: str | None,
    event_id: str | None,
    limit: int,
    page_token: str,
) -> None:
    """Deliveries, newest first."""
    server = Server.found(data)
    event_id = None if event_id is None else find_event(server, event_id)["id"]
    query = {"status": status, "type": event_type, "subject": subject, "event_id": event_id}
    page = pages(server, "/v1.0/deliveries", query, page_token, limit)
    if as_json:
        show_json(page)
    else:
        empty = "No deliveries. Is a webhook set? offhook customer set --webhook-uri https://…"
        token = page["next_page_token"]
        for delivery in page["result"]:
            show_delivery(delivery)
        if not page["result"]:
            click.echo("None so far." if token else empty)
        if token:
            click.echo(f"Older ones: the same with --page-token {token}")


def pages(server: Server, path: str, query: dict[str, str | None], token: str, limit: int) -> dict[str, Any]:
    """As many as are wanted, or as a few questions without an answer find: few may match, far apart."""
    found: list[Any] = []
    fruitless = 0
    while len(found) < limit and fruitless < _MAX_QUESTIONS:
        asked = {**query, "page_token": token or None, "page_size": min(limit - len(found), _MAX_PAGE)}
        page = server.ask("GET", path, query=asked)
        found += page["result"]
        token = page["next_page_token"]
        fruitless = 0 if page["result"] else fruitless + 1
        if not token:
            break
    return {"result": found, "next_page_token": token}


@click.group()
def calls() -> None:
    """Phone calls."""


@calls.command("list")
@click.option("--limit", type=LIMIT, default=20, show_default=True)
@remote
def list_calls(data: Path, as_json: bool, limit: int) -> None:
    """Calls, newest first."""
    page = pages(Server.found(data), "/v1.0/calls", {}, "", limit)
    if as_json:
        show_json(page)
        return
    for call in page["result"]:
        _show_call(call)
    if not page["result"]:
        click.echo("No calls yet. Dial a number, or run: make call")


@calls.command("hangup")
@click.argument("call_id")
@remote
def hang_up(data: Path, as_json: bool, call_id: str) -> None:
    """Hang a call up."""
    call = Server.found(data).ask("POST", f"/v1.0/calls/{call_id}/hangup")
    if as_json:
        show_json(call)
    else:
        show_fields(call)


def _show_call(call: dict[str, Any]) -> None:
    caller, called = plain(call["source"]["target"]), plain(call["destination"]["target"])
    state = call["hangup_reason"] or call["status"]
    show_block(f"{local_time(call['tm_create'])}  {caller} → {called}  {state}", [call["id"]], indent=4)
