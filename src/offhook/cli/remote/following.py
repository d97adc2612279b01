"""Following the event log: what is new since the last look, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from offhook.cli.remote.server import Server
from offhook.cli.showing.changes import Changes
from offhook.cli.showing.terminal import local_time, plain, show_block, terminal_width


class LogReader:
    """Reads on from where it read to. It begins at `after`, or at the newest event there is. Raises as `Server.ask`."""

    def __init__(self, server: Server, query: Mapping[str, str | None], after: str | None = None) -> None:
        self._server = server
        self._query = query
        self._cursor = _newest(server) if after is None else after
        self.has_more = True
        """Whether there may be more already: what was read last was not the end of the log."""

    def read(self) -> list[dict[str, Any]]:
        """The next events, oldest first; none if there is nothing new that matches."""
        page = self._server.ask("GET", "/v1.0/events", query={**self._query, "after": self._cursor})
        self.has_more = self._cursor != page["next_cursor"]
        self._cursor = page["next_cursor"]
        found: list[dict[str, Any]] = page["result"]
        return found


class EventLines:
    """Lines of events, each below its subject, which is said again where it is another one than before."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._subject = ""

    def show(self, event: dict[str, Any]) -> None:
        """Print one event, and what it changed."""
        subject = plain(event["subject"])
        if subject != self._subject:
            click.echo(subject or "(no subject)")
        self._subject = subject
        place = f"{event['position']:>6}  {local_time(event['tm_create'])}  "
        kind, changed = plain(event["type"]), plain(self._changes.of(event))
        line = f"{place}{click.style(kind, bold=True)}"
        if len(place) + len(kind) + 2 + len(changed) <= terminal_width():
            show_block(f"{line}  {changed}".rstrip(), [], indent=0)
        else:
            show_block(line, [changed], indent=8)


def _newest(server: Server) -> str:
    page = server.ask("GET", "/v1.0/events", query={"before": "newest", "page_size": 1})
    return str(page["result"][0]["position"]) if page["result"] else "0"
