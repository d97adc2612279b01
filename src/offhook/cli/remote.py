"""Talking to a running server: where it is, how to show its answers, what to say when it does not answer."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from offhook.domain.errors import MisconfiguredError, OffhookError, UnavailableError
from offhook.folder import Profile

F = TypeVar("F", bound=Callable[..., Any])
_TIMEOUT_S = 30


class ServerError(OffhookError):
    """The server refused; its words are passed on."""


class Server:
    """A running server. `OFFHOOK_URL` and `OFFHOOK_TOKEN` say where and as whom, or the data folder's profile."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    @classmethod
    def found(cls, data: Path) -> Server:
        """The server that the environment or the profile names. Raises MisconfiguredError."""
        url, token = os.environ.get("OFFHOOK_URL", ""), os.environ.get("OFFHOOK_TOKEN", "")
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


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """A table of `columns` (field to title), or what to do if there is nothing."""
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(_styled(name, row.get(name)) for name in columns))
    Console().print(table)


def show_fields(value: Mapping[str, Any]) -> None:
    """One thing, a line a field."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, field in value.items():
        shown = json.dumps(field, ensure_ascii=False) if isinstance(field, dict | list) else _text(field)
        table.add_row(name, shown.replace("[", "\\["))
    Console().print(table)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _styled(name: str, value: object) -> str:
    text = _text(value).replace("[", "\\[")
    if name.startswith("tm_"):
        # The day is rarely what one looks for; the whole time is in --json.
        return text[11:19]
    colours = {"succeeded": "green", "pending": "yellow", "held": "yellow", "exhausted": "red"}
    return f"[{colours[text]}]{text}[/]" if text in colours else text


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
    place = f" (field {field})" if field else ""
    return ServerError(f"{said['message']}{hint} [{said['reason']}{place}]", reason=said["reason"], field=field)
