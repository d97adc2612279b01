"""`offhook events`: the log, and sending again."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from pathlib import Path
from typing import Any

import click

from offhook.cli.remote.following import EventLines, LogReader
from offhook.cli.remote.server import Server, ServerError, remote, show_fields, show_json
from offhook.cli.showing.terminal import show_attempt, show_delivery, show_event, show_payload
from offhook.domain.delivery.outcome import Outcome

_TAIL_S = 0.5
_MAX_PAGE = 100
# One answer looks at 10,000 events at most.
_MAX_QUESTIONS = 20
_NO_DELIVERY = "None: the webhook was off when it happened. `offhook events resend` sends it."
_CURSOR = re.compile(r"(?:[0-9]{1,9}\.)?([0-9]{1,18})")


@click.group()
def events() -> None:
    """The event log."""


@events.command("list")
@click.option("--before", help="Only what is older than this cursor or position.")
@click.option("--after", help="Cursor or position to start after; the oldest comes first then.")
@click.option("--type", "event_type", help="Only this type.")
@click.option("--subject", help="Only this subject, such as call/<uuid>.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@remote
def list_all(
    data: Path,
    as_json: bool,
    before: str | None,
    after: str | None,
    event_type: str | None,
    subject: str | None,
    limit: int,
) -> None:
    """Events, newest first."""
    if before is not None and after is not None:
        raise click.UsageError("Give one of --before (newest first) and --after (oldest first).")
    way, start = ("after", after) if after is not None else ("before", before or "newest")
    query = {"type": event_type, "subject": subject}
    page, is_end = _pages(Server.found(data), query, way, start, limit)
    if as_json:
        show_json(page)
        return
    for event in page["result"]:
        show_event(event)
    if not page["result"] and is_end:
        click.echo("No events yet. Dial a number, or try: offhook trigger call")
    if not is_end:
        click.echo(f"More: the same with --{way} {page['next_cursor']}")


@events.command("tail")
@click.option("--type", "event_type", help="Only this type.")
@click.option("--subject", help="Only this subject.")
@click.option("--from-start", is_flag=True, help="Begin with the oldest event instead of now.")
@remote
def tail(data: Path, as_json: bool, event_type: str | None, subject: str | None, from_start: bool) -> None:
    """Show events as they happen, and what each changed, until Ctrl-C."""
    try:
        _tail(Server.found(data), {"type": event_type, "subject": subject}, from_start=from_start, as_json=as_json)
    except KeyboardInterrupt:
        # What it prints of the key stands on this line.
        click.echo(err=True)


@events.command("show")
@click.argument("event_id", metavar="ID|POSITION")
@remote
def show(data: Path, as_json: bool, event_id: str) -> None:
    """One event, its deliveries and attempts."""
    server = Server.found(data)
    event = find_event(server, event_id)
    attempts = server.ask("GET", f"/v1.0/events/{event['id']}/attempts")["result"]
    if as_json:
        show_json({**event, "attempts": attempts})
        return
    deliveries, payload = event.pop("deliveries"), event.pop("data")
    show_fields(event)
    click.echo("\nData")
    show_payload(payload)
    click.echo("\nDeliveries")
    _show_deliveries(deliveries)
    click.echo("\nAttempts")
    for attempt in attempts:
        # What a failure asks for matters while nothing came after it.
        show_attempt(attempt, with_advice=attempt is attempts[-1] and attempt["outcome"] != Outcome.SUCCEEDED)
    if not attempts:
        click.echo("None yet.")


@events.command("resend")
@click.argument("event_id", metavar="ID|POSITION")
@remote
def resend(data: Path, as_json: bool, event_id: str) -> None:
    """Send one event again now."""
    server = Server.found(data)
    answer = server.ask("POST", f"/v1.0/events/{find_event(server, event_id)['id']}/resend")
    if as_json:
        show_json(answer)
    else:
        _show_deliveries(answer["deliveries"])


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


def _show_deliveries(deliveries: list[dict[str, Any]]) -> None:
    for delivery in deliveries:
        show_delivery(delivery)
    if not deliveries:
        click.echo(_NO_DELIVERY)


def find_event(server: Server, event_id: str) -> dict[str, Any]:
    """The event with this id; if there is none, the one at this position. Raises ServerError."""
    try:
        return _get(server, event_id)
    except ServerError as error:
        place = _CURSOR.fullmatch(event_id)
        if place is None or error.reason != "EVENT_NOT_FOUND" or not int(place[1]):
            raise
        # A later one comes where that one is no longer kept.
        page = server.ask("GET", "/v1.0/events", query={"before": int(place[1]) + 1, "page_size": 1})
        found = [event for event in page["result"] if event["position"] == int(place[1])]
        if not found:
            raise
        return _get(server, found[0]["id"])


def _get(server: Server, event_id: str) -> dict[str, Any]:
    event: dict[str, Any] = server.ask("GET", f"/v1.0/events/{urllib.parse.quote(event_id, safe='')}")
    return event


def _pages(
    server: Server, query: dict[str, str | None], way: str, start: str, limit: int
) -> tuple[dict[str, Any], bool]:
    """As many as are wanted, or are found before a few questions in vain; and whether there is no more.

    Few may match, far apart.
    """
    found: list[Any] = []
    in_vain = 0
    while len(found) < limit and in_vain < _MAX_QUESTIONS:
        asked = {**query, way: start, "page_size": min(limit - len(found), _MAX_PAGE)}
        page = server.ask("GET", "/v1.0/events", query=asked)
        found += page["result"]
        in_vain = 0 if page["result"] else in_vain + 1
        cursor = page["next_cursor"]
        if cursor == start or (way == "before" and cursor.endswith(".0")):
            return {"result": found, "next_cursor": cursor}, True
        start = cursor
    return {"result": found, "next_cursor": start}, False


def _tail(server: Server, query: dict[str, str | None], *, from_start: bool, as_json: bool) -> None:
    reader = LogReader(server, query, "0" if from_start else None)
    lines = EventLines()
    if not as_json:
        click.echo("Waiting for events; Ctrl-C ends.", err=True)
    while True:
        for event in reader.read():
            if as_json:
                click.echo(json.dumps(event, ensure_ascii=False))
            else:
                lines.show(event)
        if not reader.has_more:
            time.sleep(_TAIL_S)
