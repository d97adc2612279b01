"""`offhook events`: the log, and sending again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from offhook.cli.remote import Server, remote, show_fields, show_json, show_rows

_COLUMNS = {"position": "pos", "tm_create": "time", "type": "type", "subject": "subject"}
_DELIVERIES = {
    "destination": "destination",
    "status": "status",
    "attempt_count": "attempts",
    "last_outcome": "last outcome",
    "last_status_code": "HTTP",
    "uri": "uri",
}
_ATTEMPTS = {
    "tm_start": "time",
    "number": "number",
    "outcome": "outcome",
    "status_code": "HTTP",
    "latency_ms": "ms",
    "response": "response",
}
_TAIL_S = 0.5
# One answer looks at 10,000 events at most.
_MAX_QUESTIONS = 20


@click.group()
def events() -> None:
    """The event log."""


@events.command("list")
@click.option("--after", default="0", show_default=True, help="Cursor or position to start after.")
@click.option("--type", "event_type", help="Only this type.")
@click.option("--subject", help="Only this subject, such as call/<uuid>.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@remote
def list_all(data: Path, as_json: bool, after: str, event_type: str | None, subject: str | None, limit: int) -> None:
    """Events since a cursor, oldest first."""
    query = {"type": event_type, "subject": subject}
    page, is_end = _first_page(Server.found(data), query, after, limit)
    if as_json:
        show_json(page)
        return
    show_rows(page["result"], _COLUMNS, "No events yet. Dial a number, or try: offhook trigger call")
    if not is_end:
        click.echo(f"More: offhook events list --after {page['next_cursor']}")


@events.command("tail")
@click.option("--type", "event_type", help="Only this type.")
@click.option("--subject", help="Only this subject.")
@click.option("--from-start", is_flag=True, help="Begin with the oldest event instead of now.")
@remote
def tail(data: Path, as_json: bool, event_type: str | None, subject: str | None, from_start: bool) -> None:
    """Show events as they happen, until Ctrl-C."""
    server = Server.found(data)
    cursor = "0" if from_start else _newest(server)
    if not as_json:
        click.echo("Waiting for events; Ctrl-C ends.", err=True)
    while True:
        page = server.ask("GET", "/v1.0/events", query={"after": cursor, "type": event_type, "subject": subject})
        for event in page["result"]:
            _print_line(event, as_json=as_json)
        if cursor == page["next_cursor"]:
            time.sleep(_TAIL_S)
        cursor = page["next_cursor"]


@events.command("show")
@click.argument("event_id")
@remote
def show(data: Path, as_json: bool, event_id: str) -> None:
    """One event, its deliveries and attempts."""
    server = Server.found(data)
    event = server.ask("GET", f"/v1.0/events/{event_id}")
    attempts = server.ask("GET", f"/v1.0/events/{event_id}/attempts")["result"]
    if as_json:
        show_json({**event, "attempts": attempts})
        return
    deliveries = event.pop("deliveries")
    show_fields(event)
    click.echo("\nDeliveries")
    show_rows(deliveries, _DELIVERIES, "None: the webhook was off when it happened. `offhook events resend` sends it.")
    click.echo("\nAttempts")
    show_rows(attempts, _ATTEMPTS, "None yet.")


@events.command("resend")
@click.argument("event_id")
@remote
def resend(data: Path, as_json: bool, event_id: str) -> None:
    """Send one event again now."""
    answer = Server.found(data).ask("POST", f"/v1.0/events/{event_id}/resend")
    if as_json:
        show_json(answer)
    else:
        show_rows(answer["deliveries"], _DELIVERIES, "No delivery.")


@events.command("replay")
@click.option("--after", help="Cursor or position to start after.")
@click.option("--since", help="Time to start at, such as 2026-05-02T09:00:00Z.")
@click.option("--until", help="Time to end at.")
@click.option("--type", "types", multiple=True, help="Only this type; may be given more than once.")
@click.option("--only", type=click.Choice(["failed", "all"]), default="failed", show_default=True)
@remote
def replay(
    data: Path,
    as_json: bool,
    after: str | None,
    since: str | None,
    until: str | None,
    types: tuple[str, ...],
    only: str,
) -> None:
    """Send a stretch of the log again: what failed, or all of it."""
    if (after is None) == (since is None):
        raise click.UsageError("Give one of --after and --since.")
    body = {"after": after, "since": since, "until": until, "types": list(types), "only": only}
    answer = Server.found(data).ask("POST", "/v1.0/events/replay", body)
    if as_json:
        show_json(answer)
    else:
        click.echo(f"{answer['count']} events are sent again. See: offhook deliveries list")


def _first_page(server: Server, query: dict[str, str | None], after: str, limit: int) -> tuple[dict[str, Any], bool]:
    """A page as full as a few questions make it, and whether it is the last: few events may match far apart."""
    found: list[Any] = []
    for _ in range(_MAX_QUESTIONS):
        page = server.ask("GET", "/v1.0/events", query={**query, "after": after, "page_size": limit - len(found)})
        found += page["result"]
        if len(found) == limit:
            return {**page, "result": found}, False
        if page["next_cursor"] == after:
            return {**page, "result": found}, True
        after = page["next_cursor"]
    return {**page, "result": found}, False


def _newest(server: Server) -> str:
    cursor = "0"
    while True:
        page = server.ask("GET", "/v1.0/events", query={"after": cursor, "type": "none_such"})
        if page["next_cursor"] == cursor:
            return cursor
        cursor = page["next_cursor"]


def _print_line(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(event, ensure_ascii=False))
        return
    detail = _detail(event)
    click.echo(
        f"{event['tm_create'][11:23].rstrip('Z'):<12} {event['position']:>6}  "
        f"{click.style(event['type'], bold=True):<30} {event['subject']} {detail}"
    )


def _detail(event: dict[str, Any]) -> str:
    content = event["data"] if isinstance(event["data"], dict) else {}
    shown = [str(content[name]) for name in ("status", "hangup_by", "hangup_reason") if content.get(name)]
    return f"({', '.join(shown)})" if shown else ""
