"""`offhook flow` and `offhook number`: what calls run, and which numbers run it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from offhook.cli.remote.lists import LIMIT, pages
from offhook.cli.remote.server import Server, remote, show_json
from offhook.cli.showing.terminal import plain, show_block
from offhook.domain.delivery.networks import NetworkPolicy
from offhook.domain.errors import InvalidError, NotFoundError
from offhook.domain.ids import NIL_UUID, is_uuid
from offhook.flows.addresses import fault_of_address
from offhook.flows.reading import read_actions

_FILE = click.argument("file", type=click.Path(allow_dash=True, path_type=Path))


@click.group()
def flow() -> None:
    """What calls run: actions, in a JSON file."""


@flow.command("check")
@_FILE
def check(file: Path) -> None:
    """Read a flow without a server: its faults, each with the action and the field. `-` is standard input.

    What only the server knows (other flows, where it may connect to) is checked when the flow is made.
    """
    actions = _body(file).get("actions", [])
    # Whether a private address may be sent to is the server's to say.
    policy = NetworkPolicy(allow_loopback=True)
    try:
        read = read_actions(actions, check=lambda kind, field, value: fault_of_address(kind, field, value, policy))
    except InvalidError as error:
        for detail in error.details:
            click.echo(f"{file}: {detail['field']}: {plain(detail['message'])}")
        raise InvalidError(f"{file}: {error.message}" if not error.details else f"{file} is not a flow yet.") from None
    click.echo(f"{file}: {len(read)} actions, no faults.")


@flow.command("create")
@_FILE
@click.option("--name", help="Instead of the file's own.")
@remote
def create(data: Path, as_json: bool, file: Path, name: str | None) -> None:
    """Make a flow of a file."""
    body = _body(file) | ({} if name is None else {"name": name})
    made = Server.found(data).ask("POST", "/v1.0/flows", body)
    if as_json:
        show_json(made)
        return
    click.echo(f"The flow {made['id']} has {len(made['actions'])} actions. What to try next:")
    click.echo(f"  offhook number set 100 --flow {made['id']}   so that callers of 100 run it")


@flow.command("list")
@click.option("--limit", type=LIMIT, default=20, show_default=True)
@remote
def list_flows(data: Path, as_json: bool, limit: int) -> None:
    """Flows, newest first."""
    page = pages(Server.found(data), "/v1.0/flows", {}, "", limit)
    if as_json:
        show_json(page)
        return
    for one in page["result"]:
        types = ", ".join(action["type"] for action in one["actions"])
        show_block(f"{one['id']}  {plain(one['name'])}", [types], indent=4)
    if not page["result"]:
        click.echo("No flows yet. offhook flow create FILE makes one.")


@click.group()
def number() -> None:
    """Numbers, and what their callers run."""


@number.command("list")
@click.option("--limit", type=LIMIT, default=20, show_default=True)
@remote
def list_numbers(data: Path, as_json: bool, limit: int) -> None:
    """Numbers, newest first."""
    server = Server.found(data)
    page = pages(server, "/v1.0/numbers", {}, "", limit)
    if as_json:
        show_json(page)
        return
    for one in page["result"]:
        runs = "nothing: callers hear 404" if one["call_flow_id"] == NIL_UUID else f"the flow {one['call_flow_id']}"
        click.echo(f"{one['number']:<16}  runs {runs}")
    if not page["result"]:
        click.echo("No numbers yet. An operator gives them: POST /v1.0/numbers")


@number.command("set")
@click.argument("number_")
@click.option("--flow", "flow_id", required=True, metavar="ID", help="The flow that its callers run; '' for none.")
@remote
def set_flow(data: Path, as_json: bool, number_: str, flow_id: str) -> None:
    """Say what the callers of a number run."""
    if flow_id and not is_uuid(flow_id):
        raise click.UsageError("--flow is the id of a flow: offhook flow list shows them.")
    server = Server.found(data)
    found = pages(server, "/v1.0/numbers", {"number": number_}, "", 1)["result"]
    if not found:
        raise NotFoundError(f"You have no number {number_}. offhook number list shows yours.", field="number")
    changed = server.ask("PUT", f"/v1.0/numbers/{found[0]['id']}/flow_ids", {"call_flow_id": flow_id})
    if as_json:
        show_json(changed)
    else:
        click.echo(f"{changed['number']} runs {f'the flow {flow_id}' if flow_id else 'nothing: callers hear 404'}.")


def _body(file: Path) -> dict[str, Any]:
    """What a file holds: a flow, or its actions alone."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{file} cannot be read: {error}.", field="file") from None
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{file} is not JSON: {error}.", field="file") from None
    if isinstance(read, list):
        return {"actions": read}
    if not isinstance(read, dict):
        raise InvalidError(f"{file} holds neither a flow nor a list of actions.", field="file")
    return read
