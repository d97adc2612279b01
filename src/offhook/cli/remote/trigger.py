"""`offhook trigger`: sample events, to try a receiver without a phone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from offhook.cli.remote.server import Server, remote, show_json
from offhook.cli.showing.terminal import local_time
from offhook.domain.catalogue import event_type, sample, scripted_call
from offhook.domain.ids import new_uuid
from offhook.domain.times import rfc3339

_CALL = "call"


@click.command()
@click.argument("what", metavar="TYPE|call")
@click.option("--fast", is_flag=True, help="Play the call without its pauses.")
@remote
def trigger(data: Path, as_json: bool, what: str, fast: bool) -> None:
    """Publish a sample event, or the events of a whole call, with realistic pauses.

    TYPE is an event type such as call_hungup; `call` plays a call from its creation to its end. What is published is
    sent like any other event, but nothing is behind it: it is no call of `calls list`.
    """
    server = Server.found(data)
    customer_id = server.ask("GET", "/v1.0/customer")["id"]
    if what == _CALL:
        ids = _play_call(server, customer_id, fast=fast, quiet=as_json)
    else:
        ids = [_publish(server, what, _fresh(what, customer_id))]
    if as_json:
        show_json({"ids": ids})
    elif what != _CALL:
        click.echo(f"Published {what} as {ids[0]}. See: offhook events show {ids[0]}")


def _play_call(server: Server, customer_id: str, *, fast: bool, quiet: bool) -> list[str]:
    call_id = new_uuid()
    ids = []
    for step in scripted_call(call_id=call_id, customer_id=customer_id, started_at=datetime.now(UTC)):
        if not fast:
            time.sleep(step.pause_s)
        ids.append(_publish(server, step.type, step.data))
        if not quiet:
            click.echo(f"{local_time(rfc3339(datetime.now(UTC)))}  {step.type}")
    if not quiet:
        click.echo(
            "These were the events of a call that nobody made: `offhook calls list` does not know it.\n"
            f"See: offhook events list --subject call/{call_id}"
        )
    return ids


def _fresh(name: str, customer_id: str) -> dict[str, object]:
    """A sample's data with ids and times of its own."""
    event_type(name)
    data = dict(sample(name)["data"])
    now = rfc3339(datetime.now(UTC))
    changes = {"id": new_uuid(), "customer_id": customer_id, "tm_create": now, "tm_update": now}
    return {name: changes.get(name, value) for name, value in data.items()}


def _publish(server: Server, name: str, data: object) -> str:
    answer = server.ask("POST", "/v1.0/events", {"type": name, "data": data})
    event_id: str = answer["ids"][0]
    return event_id
