"""The program and its commands."""

from __future__ import annotations

import sys

import click

from offhook import __version__
from offhook.cli.customer import customer
from offhook.cli.doctor import doctor
from offhook.cli.events import events
from offhook.cli.lists import calls, deliveries
from offhook.cli.node import agent, config, init, serve
from offhook.cli.trigger import trigger
from offhook.domain.errors import OffhookError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="offhook")
def program() -> None:
    """Offhook: a self-hosted communications platform whose events never get lost."""


for command in (serve, init, agent, config, customer, events, deliveries, calls, trigger, doctor):
    program.add_command(command)


def main() -> None:
    """Run the program. A refusal is one line on standard error, and exit code 1."""
    try:
        program(standalone_mode=True)
    except OffhookError as error:
        click.echo(f"offhook: {error.message}", err=True)
        sys.exit(1)
