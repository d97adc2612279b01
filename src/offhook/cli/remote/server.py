"""Talking to a running server: where it is, how to show its answers, what to say when it does not answer."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.cli.showing.terminal import local_time, plain
from offhook.domain.errors import MisconfiguredError, OffhookError, UnavailableError
from offhook.folder import Profile
from offhook.quantities import web_url

F = TypeVar("F", bound=Callable[..., Any])
_TIMEOUT_S = 30
# What the server says to do with a request, as somebody at a terminal does it.
_IN_COMMANDS = {"WEBHOOK_OFF": "There is no webhook yet. Set one: offhook customer set --webhook-uri http://…"}


class ServerError(OffhookError):
    """The server refused; its words are passed on."""

    def __str__(self) -> str:
        """With the reason that its documentation explains."""
        place = f" (field {self.field})" if self.field else ""
        return f"{self.message} [{self.reason}{place}]"


class Server:
    """A running server. `OFFHOOK_URL` and `OFFHOOK_TOKEN` say where and as whom, or the data folder's profile."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    @classmethod
    def found(cls, data: Path) -> Server:
        """The server that the environment or the profile names. Raises MisconfiguredError."""
        url, token = os.environ.get("OFFHOOK_URL", ""), os.environ.get("OFFHOOK_TOKEN", "")
        if url:
            _check_url(url)
        if not (url and token):
            profile = _profile(data)
            url, token = url or profile.url, token or profile.access_key
        return cls(url, token)

    def ask(self, method: str, path: str, body: object = None, query: Mapping[str, object | None] | None = None) -> Any:
        """The JSON of an answer. Raises ServerError with the server's words, UnavailableError if there is no server."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(given)}" if given else "")
        request = urllib.request.Request(  # noqa: S310 - http and https, as the operator configured
            target,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UnavailableError(
                f"No server answers at {self.url} ({reason}). Start it with `offhook serve`, or set OFFHOOK_URL."
            ) from None


def _check_url(url: str) -> None:
    try:
        web_url(url)
    except ValueError:
        # It is not shown whole where there may be a password in it.
        shown = "" if "@" in url or "?" in url else f" is {url!r}, which"
        raise MisconfiguredError(
            f"OFFHOOK_URL{shown} is no URL of a server. Set it to one such as http://127.0.0.1:8080.",
            field="OFFHOOK_URL",
        ) from None


def remote(command: F) -> F:
    """The options of every command that talks to a server."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("data"),
            show_default=True,
            envvar="OFFHOOK_DATA",
            help="Folder whose profile tells where the server is.",
        ),
    ):
        command = option(command)
    return command


def show_json(value: object) -> None:
    """Print JSON that a program can read."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)))


def show_fields(value: Mapping[str, Any]) -> None:
    """One thing, a line a field."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, field in value.items():
        table.add_row(name, Text(plain(_shown(name, field))))
    Console().print(table)


def _shown(name: str, value: object) -> str:
    if name.startswith("tm_") and isinstance(value, str):
        return local_time(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _profile(data: Path) -> Profile:
    file = data / "profile.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Profile)
    except FileNotFoundError:
        raise MisconfiguredError(
            f"There is no {file}. Name the server's folder with --data, or set OFFHOOK_URL and OFFHOOK_TOKEN."
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise MisconfiguredError(f"{file} cannot be read: {error}. Set OFFHOOK_URL and OFFHOOK_TOKEN.") from None


def _refusal(error: urllib.error.HTTPError) -> ServerError:
    try:
        said = json.loads(error.read())["error"]
    except (ValueError, KeyError, TypeError, OSError):
        return ServerError(f"The server answered {error.code}. Is OFFHOOK_URL right?")
    field = next((detail["field"] for detail in said["details"] if "field" in detail), None)
    hint = " Set OFFHOOK_TOKEN to a token or an access key." if error.code == 401 else ""
    message = _IN_COMMANDS.get(said["reason"], said["message"])
    return ServerError(f"{message}{hint}", reason=said["reason"], field=field)
