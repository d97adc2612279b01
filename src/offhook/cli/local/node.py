"""Commands that work on a data folder: serve, init, agent, config."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from offhook.settings.areas import Settings
from offhook.settings.loading import load_settings

F = TypeVar("F", bound=Callable[..., Any])

_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    envvar="OFFHOOK_DATA",
    help="Folder for the database, the embedded Asterisk and their logs.",
)
_config = click.option(
    "--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="Settings file (TOML)."
)
_database = click.option("--database", help="postgresql://… instead of SQLite in the data folder.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _settings(data: Path, config_file: Path | None, **flags: str | None) -> Settings:
    given = {name.replace("__", "."): str(value) for name, value in flags.items() if value is not None}
    return load_settings(data=data, config=config_file, environ=os.environ, flags=given)


@click.command()
@_data
@_config
@click.option("--host", help="Address of the API.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port of the API.  [default: 8080]")
@_database
@click.option("--no-switch", is_flag=True, help="Run without a phone system.")
@click.option("--sip", metavar="HOST:PORT", help="Where the embedded Asterisk takes calls.  [default: 127.0.0.1:5060]")
@click.option("--asterisk", metavar="URL", help="ARI of an Asterisk of your own, such as http://10.0.0.5:8088/ari.")
@click.option("--asterisk-user", metavar="NAME", help="Its ARI user.")
@click.option("--asterisk-password-file", metavar="FILE", help="A file with that user's password.")
@click.option(
    "--log-level",
    type=click.Choice(["auto", "debug", "info", "warning", "error"]),
    help="auto: a short line for each call and each warning on a terminal, else info.  [default: auto]",
)
def serve(
    data: Path,
    config_file: Path | None,
    host: str | None,
    port: int | None,
    database: str | None,
    no_switch: bool,
    sip: str | None,
    asterisk: str | None,
    asterisk_user: str | None,
    asterisk_password_file: str | None,
    log_level: str | None,
) -> None:
    """Run the server."""
    from offhook.cli.local import operations

    settings = _settings(
        data,
        config_file,
        server__host=host,
        server__port=None if port is None else str(port),
        database__url=database,
        switch__enabled="false" if no_switch else None,
        switch__sip=sip,
        switch__asterisk_url=asterisk,
        switch__asterisk_user=asterisk_user,
        switch__asterisk_password_file=asterisk_password_file,
        log__level=log_level,
    )
    sys.exit(operations.serve(settings, data))


@click.command()
@_data
@_config
@_database
@_json
def init(data: Path, config_file: Path | None, database: str | None, as_json: bool) -> None:
    """Make the first customer, and print its credentials once."""
    from offhook.cli.local import operations

    credentials = operations.init(_settings(data, config_file, database__url=database), data)
    if as_json:
        click.echo(msgspec.json.encode(credentials))
        return
    click.echo("Your first customer. Keep this: it is shown only once.\n")
    for name, value in msgspec.to_builtins(credentials).items():
        click.echo(f"  {name.replace('_', ' '):<15} {value}")
    click.echo(f"\nStart the server with: offhook serve --data {data}")


@click.group()
def agent() -> None:
    """Users, straight on the data folder."""


@agent.command("reset-password")
@_data
@_config
@_database
@_json
@click.argument("username")
def reset_password(data: Path, config_file: Path | None, database: str | None, as_json: bool, username: str) -> None:
    """Give an agent a new password, while the server is stopped."""
    from offhook.cli.local import operations

    password = operations.reset_password(_settings(data, config_file, database__url=database), data, username)
    if as_json:
        click.echo(msgspec.json.encode({"username": username, "password": password}))
    else:
        click.echo(f"The new password of {username}: {password}")


@click.group()
def config() -> None:
    """Settings."""


@config.command("show")
@_data
@_config
@_json
def show(data: Path, config_file: Path | None, as_json: bool) -> None:
    """Every setting, its value, and where it came from."""
    given = _settings(data, config_file).given
    if as_json:
        rows = {name: {"value": value.text, "source": value.source} for name, value in sorted(given.items())}
        click.echo(msgspec.json.format(msgspec.json.encode(rows)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value in sorted(given.items()):
        table.add_row(name, value.text or "[dim]empty[/]", value.source)
    Console().print(table)
