"""The program and its commands."""

from __future__ import annotations

import json
import sys

import click

from offhook import __version__
from offhook.cli.doctor import doctor
from offhook.cli.local.node import agent, config, init, serve
from offhook.cli.remote.customer import customer
from offhook.cli.remote.events import events
from offhook.cli.remote.flows import flow, number
from offhook.cli.remote.lists import calls, deliveries
from offhook.cli.remote.trigger import trigger
from offhook.domain.errors import InvalidError, OffhookError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="offhook")
def program() -> None:
    """Offhook: a self-hosted communications platform whose events never get lost."""


for command in (serve, init, agent, config, customer, events, deliveries, calls, flow, number, trigger, doctor):
    program.add_command(command)


def main() -> None:
    """Run the program. A refusal is said on standard error, as JSON where that is asked for.

    Exit code 1; 2 where the command itself is at fault.
    """
    as_json = "--json" in sys.argv[1:]
    try:
        sys.exit(program(standalone_mode=False))
    except OffhookError as error:
        _refuse(error, as_json=as_json)
        sys.exit(1)
    except click.ClickException as error:
        if as_json:
            _refuse(InvalidError(error.format_message(), reason="USAGE"), as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("offhook: stopped.", err=True)
        sys.exit(1)


def _refuse(error: OffhookError, *, as_json: bool) -> None:
    if not as_json:
        click.echo(f"offhook: {error}", err=True)
        return
    said = {"reason": error.reason, "message": error.message, "field": error.field}
    click.echo(json.dumps({"error": said}, ensure_ascii=False), err=True)
