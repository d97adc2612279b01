"""What reaches a log, and what never does; what a person at a terminal is told."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from psycopg.pq import ConnStatus

import offhook
from offhook.logs.lines import ShortLines
from offhook.logs.setup import configure_logging
from offhook.logs.words import WORDS, has_words, words_of
from offhook.store.database.database import Database
from tests.postgres import Postgres

SOURCES = Path(offhook.__file__).parent
OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CALL_ENDED: dict[str, Any] = {
    "call_id": "5f0c",
    "direction": "incoming",
    "source": "+15551234567",
    "destination_number": "+15559876543",
    "hangup_by": "remote",
    "hangup_reason": "normal",
    "was_answered": True,
    "duration_s": 8.2,
}
LONGEST = 160


class Terminal(io.StringIO):
    """Standard error: a terminal, or something else."""

    def __init__(self, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


Configure = Callable[..., Terminal]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Set up the log as at a start whose standard error is the given one; it is given back."""

    def do(level: str, form: str, error: Terminal | None = None) -> Terminal:
        error = error or Terminal()
        monkeypatch.setattr("sys.stderr", error)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        configure_logging(level, form)
        return error

    return do


@pytest.mark.parametrize(("level", "form"), [("info", "console"), ("info", "json"), ("auto", "auto")])
def test_a_traceback_shows_no_password_that_a_variable_held(level: str, form: str, configure: Configure) -> None:
    terminal = configure(level, form)

    def log_in(password: str) -> None:
        raise ValueError("somebody else's fault")

    try:
        log_in("s3cret-of-" + form)
    except ValueError:
        structlog.get_logger().exception("login.failed")
    shown = terminal.getvalue()
    assert "somebody else's fault" in shown
    assert "log_in" in shown
    assert "s3cret-of-" + form not in shown


def test_on_a_terminal_a_call_is_one_line_and_what_is_no_warning_is_none(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    log = structlog.get_logger()
    log.info("web.request", path="/v1.0/events")
    log.info("call.changed", call_id="5f0c", status="hangup")
    log.info("call.ended", **CALL_ENDED)
    log.debug("events.accepted", count=1)
    (line,) = terminal.lines
    assert re.fullmatch(r"\d\d:\d\d:\d\d \S+  Incoming call \+15551234567 → \+15559876543: normal, 8\.2 s", line)


@pytest.mark.parametrize("form", ["auto", "json"])
def test_what_is_collected_has_all_from_info_on_and_no_phone_number(form: str, configure: Configure) -> None:
    collected = configure("auto", form, Terminal(is_terminal=form == "json"))
    log = structlog.get_logger()
    log.debug("events.accepted", count=1)
    log.info("web.request", path="/v1.0/events")
    log.info("call.ended", **CALL_ENDED)
    log.warning("delivery.destination_answers", customer_id="c", destination="customer", failed_for_s=3)
    lines = [json.loads(line) for line in collected.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["web.request", "call.ended", "delivery.destination_answers"]
    assert (lines[1]["hangup_reason"], lines[1]["duration_s"]) == ("normal", 8.2)
    assert "1555" not in collected.getvalue()


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_level_by_name_shows_the_whole_lines_on_a_terminal_too(configure: Configure, level: str) -> None:
    terminal = configure(level, "auto")
    log = structlog.get_logger()
    log.info("web.request", path="/v1.0/events")
    log.debug("events.accepted", count=1)
    assert "web.request" in terminal.getvalue()
    assert ("events.accepted" in terminal.getvalue()) is (level == "debug")


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"duration_s": 59.94}, "normal, 59.9 s"),
        ({"duration_s": 61.2}, "normal, 1 min 1 s"),
        ({"duration_s": 7_500.0}, "normal, 2 h 5 min"),
        ({"was_answered": False, "hangup_reason": "cancel", "duration_s": 3.1}, "cancel after 3.1 s"),
        ({"source": ""}, "Incoming call unknown → +15559876543: normal, 8.2 s"),
        ({"direction": "outgoing"}, "Outgoing call +15551234567 → +15559876543: normal, 8.2 s"),
        ({"source": "\x1b[2Jevil\r\n"}, "Incoming call �[2Jevil�� → +15559876543: normal, 8.2 s"),
    ],
)
def test_how_a_call_ended(changes: dict[str, Any], end: str) -> None:
    assert words_of({"event": "call.ended", **CALL_ENDED, **changes}).sentence.endswith(end)


def test_a_long_warning_has_what_to_do_on_a_line_of_its_own(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    structlog.get_logger().warning(
        "delivery.destination_failing",
        customer_id="44191619-6cac-4ffd-82af-909296789659",
        destination="customer",
        outcome="refused",
        said="Nothing listens on 127.0.0.1:5000.",
        advice="Start your program, or correct the address and port of webhook_uri.",
    )
    first, second = terminal.lines
    start = re.match(r"\d\d:\d\d:\d\d \S+  ", first)
    assert start is not None
    assert first[start.end() :] == (
        "Warning: The webhook (customer 44191619) fails. Nothing listens on 127.0.0.1:5000."
    )
    assert second == " " * start.end() + (
        "→ Start your program, or correct the address and port of webhook_uri. What waits: offhook deliveries list"
    )


def test_a_warning_is_one_line_with_its_advice_where_that_is_short(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    log = structlog.get_logger()
    log.warning("asterisk.hangs", pid=77)
    log.warning("store.still_lost", away_s=9, error="refused")
    one, other = terminal.lines
    assert one.endswith("  Warning: Asterisk (process 77) hangs. → It is started anew.")
    assert other.endswith("  Warning: The database has been away for 9 s: refused.")


def test_sentence_and_advice_are_two_lines_from_161_columns_on(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    log = structlog.get_logger()
    log.warning("asterisk.unreachable", url="http://127.0.0.1:8088", error="x")
    more = LONGEST - len(terminal.lines[0])
    log.warning("asterisk.unreachable", url="http://127.0.0.1:8088", error="x" * (more + 1))
    log.warning("asterisk.unreachable", url="http://127.0.0.1:8088", error="x" * (more + 2))
    _, longest, *two = terminal.lines
    assert len(longest) == LONGEST
    assert [line.strip().startswith("→ ") for line in two] == [False, True]


def test_a_warning_that_is_said_again_and_again_is_shown_once(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    log = structlog.get_logger()
    for pause_s in (0.1, 0.2, 0.4):
        log.warning("asterisk.unreachable", url="http://127.0.0.1:8088", error="refused", pause_s=pause_s)
    shown = terminal.getvalue()
    assert shown.count("cannot be reached") == 1
    log.error("store.lost", hint="x")
    log.warning("store.regained", away_s=1.5)
    log.error("store.lost", hint="x")
    assert terminal.getvalue().count("The database is away") == 2


def test_two_warnings_that_alternate_are_shown_once_each(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    log = structlog.get_logger()
    for _ in range(5):
        log.warning("asterisk.unreachable", url="http://127.0.0.1:8088", error="refused", pause_s=1)
        log.info("call.ended", **CALL_ENDED)
        log.warning("store.read_failed", error="disk I/O error")
    assert terminal.getvalue().count("cannot be reached") == 1
    assert terminal.getvalue().count("cannot be read") == 1
    assert terminal.getvalue().count("Incoming call") == 5


def test_what_was_shown_is_remembered_within_bounds_and_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = 1000.0
    monkeypatch.setattr("offhook.logs.lines.time.monotonic", lambda: clock_s)
    lines = ShortLines(has_colours=False)

    def is_shown(number: int) -> bool:
        try:
            lines.render(None, "warning", {"event": "new.thing", "level": "warning", "count": number})
        except structlog.DropEvent:
            return False
        return True

    assert [is_shown(number) for number in (1, 2, 1, 2)] == [True, True, False, False]
    clock_s += 60
    assert [is_shown(1), is_shown(1)] == [True, False]
    assert all(is_shown(number) for number in range(100, 200))
    assert is_shown(1)
    assert len(lines._shown_at_s) < 10


@pytest.mark.parametrize(
    ("level", "form"), [("auto", "auto"), ("info", "auto"), ("info", "console"), ("debug", "console")]
)
def test_what_strangers_wrote_cannot_steer_a_terminal_or_pass_for_a_line_of_the_log(
    level: str, form: str, configure: Configure
) -> None:
    terminal = configure(level, form)
    log = structlog.get_logger()
    try:
        raise ValueError("\x1b]0;owned\x07\x1b[2J\rgone\x9b\n14:03:22 CET  Incoming call")
    except ValueError:
        log.exception("web.internal_error", request_id="\x1b[2Jr")
        logging.getLogger("asyncio").exception("\x1b[2Jtask\nforged")
    log.warning("\x1b[2Jnew", error="\x1b[2J")
    shown = OUR_COLOURS.sub("", terminal.getvalue())
    assert "]0;owned" in shown
    assert shown.count("test_what_strangers_wrote") == 2
    assert all(letter.isprintable() for letter in shown.replace("\n", ""))
    assert len([line for line in shown.splitlines() if not line.startswith("  ")]) == 3


def test_a_session_that_is_found_lost_when_it_is_put_aside_is_no_traceback(
    configure: Configure, postgres: Postgres
) -> None:
    terminal = configure("info", "console")
    database = Database(postgres.new_database())
    with database.reader.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
        session: Any = connection.connection.driver_connection
        with psycopg.connect(postgres.new_database()) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [session.info.backend_pid])
        # What comes with an answer under load: the end of the session, right behind it.
        while session.pgconn.status == ConnStatus.OK:
            with suppress(psycopg.OperationalError):
                session.pgconn.consume_input()
    database.close()
    assert terminal.getvalue() == ""


def test_calls_that_are_alike_are_a_line_each(configure: Configure) -> None:
    terminal = configure("auto", "auto")
    for _ in range(3):
        structlog.get_logger().info("call.ended", **CALL_ENDED)
    assert len(terminal.lines) == 3


def test_what_nobody_has_words_for_is_shown_with_all_its_fields() -> None:
    lines = ShortLines(has_colours=False)
    shown = lines.render(None, "warning", {"event": "new.thing", "level": "warning", "count": 3, "error": "a\nb"})
    assert shown.endswith("Warning: new.thing count=3 error=a�b")


def logged(least: set[str]) -> Iterator[tuple[Path, ast.Call]]:
    """Every call in our code that logs with one of these methods."""
    for path in SOURCES.rglob("*.py"):
        if path.relative_to(SOURCES).parts[0] == "receiver":
            continue  # a customer's program logs with what it has
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=attr)) if attr in least:
                    yield path, node


def test_every_warning_has_words_and_the_fields_that_they_name() -> None:
    found = set()
    for path, call in logged({"warning", "error", "exception", "critical"}):
        (named_as,) = call.args
        assert isinstance(named_as, ast.Constant), ast.unparse(call)
        event = str(named_as.value)
        assert has_words(event), f"{path}: {event} has no words in logs/words.py"
        found.add(event)
        words = WORDS.get(event)
        if words is None or any(keyword.arg is None for keyword in call.keywords):
            continue
        named = set(re.findall(r"\{(\w+)\}", words.sentence + words.advice)) - {"because"}
        assert named <= {keyword.arg for keyword in call.keywords}, f"{path}: {event}"
    assert len(found) > 40
    assert set(WORDS) - found == {"node.stopping"}
