"""`offhook deliveries` and `offhook calls`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from offhook.cli.remote import Server, remote, show_fields, show_json, show_rows

_DELIVERIES = {
    "tm_create": "time",
    "event_type": "event",
    "status": "status",
    "attempt_count": "tries",
    "last_status_code": "HTTP",
    "event_id": "event id",
}
# One answer looks at 10,000 deliveries at most.
_MAX_QUESTIONS = 20
_CALLS = {"tm_create": "time", "from": "from", "to": "to", "state": "state", "id": "id"}


@click.group()
def deliveries() -> None:
    """What was sent where, and what came of it."""


@deliveries.command("list")
@click.option("--status", type=click.Choice(["pending", "held", "succeeded", "exhausted", "cancelled"]))
@click.option("--type", "event_type", help="Only this type.")
@click.option("--subject", help="Only this subject, such as call/<uuid>.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@click.option("--page-token", default="", help="Where a list before ended: it says so.")
@remote
def list_deliveries(
    data: Path,
    as_json: bool,
    status: str | None,
    event_type: str | None,
    subject: str | None,
    limit: int,
    page_token: str,
) -> None:
    """Deliveries, newest first."""
    query = {"status": status, "type": event_type, "subject": subject}
    page = _first_page(Server.found(data), query, page_token, limit)
    if as_json:
        show_json(page)
    else:
        empty = "No deliveries. Is a webhook set? offhook customer set --webhook-uri https://…"
        token = page["next_page_token"]
        show_rows(page["result"], _DELIVERIES, "None so far." if token else empty)
        if token:
            click.echo(f"Older ones: the same with --page-token {token}")


def _first_page(server: Server, query: dict[str, str | None], token: str, limit: int) -> dict[str, Any]:
    """A page as full as a few questions make it: few deliveries may match, far apart."""
    found: list[Any] = []
    for _ in range(_MAX_QUESTIONS):
        asked = {**query, "page_token": token or None, "page_size": limit - len(found)}
        page = server.ask("GET", "/v1.0/deliveries", query=asked)
        found += page["result"]
        token = page["next_page_token"]
        if len(found) == limit or not token:
            break
    return {"result": found, "next_page_token": token}


@click.group()
def calls() -> None:
    """Phone calls."""


@calls.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@remote
def list_calls(data: Path, as_json: bool, limit: int) -> None:
    """Calls, newest first."""
    page = Server.found(data).ask("GET", "/v1.0/calls", query={"page_size": limit})
    if as_json:
        show_json(page)
        return
    show_rows([_call_row(call) for call in page["result"]], _CALLS, "No calls yet. Dial a number, or run: make call")


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


def _call_row(call: dict[str, Any]) -> dict[str, Any]:
    state = call["hangup_reason"] or call["status"]
    return {**call, "from": call["source"]["target"], "to": call["destination"]["target"], "state": state}
